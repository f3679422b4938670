"""A release is made of a commit that has a version, a section in the changelog, and the
right tag.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from opt.release import checks
from opt.release.checks import ReleaseError

if TYPE_CHECKING:
    from pathlib import Path

CHANGELOG = """\
# Changelog

## Unreleased

- Not yet.

## [1.2.0] - 2026-12-01

### Added

- This.

## 1.1.0 (2026-11-01)

- That.

## 1.0.0

## 0.9.0

- The first.
"""


def git(root: Path, *arguments: str) -> None:
    named = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    dated = {
        "GIT_AUTHOR_DATE": "1700000000 +0000",
        "GIT_COMMITTER_DATE": "1700000123 +0100",
        "HOME": "/nowhere",
    }
    subprocess.run(
        ["git", *named, *arguments], cwd=root, env=dated, capture_output=True, check=True
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / ".gitignore").write_text("dist/\n")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message=first")
    return tmp_path


def test_a_committed_tree_passes_with_what_git_ignores_in_it(checkout: Path) -> None:
    (checkout / "dist").mkdir()
    (checkout / "dist/old").touch()

    checks.check_tree(checkout)


def test_a_file_that_is_not_committed_is_named_with_the_way_to_try(checkout: Path) -> None:
    (checkout / "new.py").touch()

    with pytest.raises(
        ReleaseError, match=r"not committed: new\.py\. .*make release ALLOW_DIRTY=1"
    ):
        checks.check_tree(checkout)


def test_of_many_files_a_few_are_named(checkout: Path) -> None:
    for number in range(7):
        (checkout / f"{number}.py").touch()

    with pytest.raises(
        ReleaseError, match=r"not committed: 0\.py, 1\.py, 2\.py, 3\.py, 4\.py and 2 more\."
    ):
        checks.check_tree(checkout)


def test_a_folder_without_git_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        ReleaseError, match=r"a release is made of a commit: .*not a git repository"
    ):
        checks.check_tree(tmp_path)


def test_a_repository_without_a_commit_is_an_error(tmp_path: Path) -> None:
    git(tmp_path, "init")

    with pytest.raises(ReleaseError, match="a release is made of a commit: "):
        checks.commit_time_s(tmp_path)


def test_the_time_is_the_commits(checkout: Path) -> None:
    assert checks.commit_time_s(checkout) == 1_700_000_123


@pytest.mark.parametrize("tag", ["1.2.0", "v1.2", "v1.2.00", "v1.2.0-rc1", "V1.2.0", "v1.2.0\n"])
def test_another_tag_than_the_versions_is_refused(tag: str) -> None:
    checks.check_tag("v1.2.0", "1.2.0")
    with pytest.raises(ReleaseError, match=r"the version 1\.2\.0, which needs v1\.2\.0"):
        checks.check_tag(tag, "1.2.0")


@pytest.mark.parametrize(
    ("version", "section"),
    [("1.2.0", "### Added\n\n- This."), ("1.1.0", "- That."), ("0.9.0", "- The first.")],
)
def test_the_notes_are_the_versions_section_whatever_stands_beside_its_number(
    version: str, section: str
) -> None:
    assert checks.notes(CHANGELOG, version, is_trial=False) == section
    assert checks.notes(CHANGELOG, version, is_trial=True) == section


@pytest.mark.parametrize("version", ["1.0.0", "1.2", "1.2.0.1", "1.3.0", "1X2.0"])
def test_a_version_that_the_changelog_says_nothing_of_is_refused(version: str) -> None:
    with pytest.raises(ReleaseError, match="rename `## Unreleased` to `## "):
        checks.notes(CHANGELOG, version, is_trial=False)


def test_a_trial_has_the_notes_of_what_is_not_released() -> None:
    assert checks.notes(CHANGELOG, "1.3.0", is_trial=True) == "- Not yet."
    with pytest.raises(ReleaseError):
        checks.notes("# Changelog\n", "1.3.0", is_trial=True)
