"""What has to be true of a checkout before a release is made of it."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class ReleaseError(Exception):
    """A release cannot be made; the text says what to do."""


def check_tree(root: Path) -> None:
    """ReleaseError unless all of the checkout is committed."""
    changed = _git(root, "status", "--porcelain").splitlines()
    if changed:
        raise ReleaseError(
            f"not committed: {', '.join(line[3:] for line in changed[:5])}"
            f"{f' and {len(changed) - 5} more' if len(changed) > 5 else ''}."
            " A release is made of a commit; to try one all the same: make release ALLOW_DIRTY=1"
        )


def check_tag(tag: str, version: str) -> None:
    """ReleaseError unless the tag is the version's."""
    if tag != f"v{version}":
        raise ReleaseError(
            f"the tag is {tag} and the version {version}, which needs v{version}:"
            " change __version__ in lrap_otel/__init__.py or the tag"
        )


def commit_time_s(root: Path) -> int:
    """When the commit was made, in seconds since the epoch: the time of everything in
    its release.
    """
    return int(_git(root, "log", "-1", "--format=%ct"))


def notes(changelog: str, version: str, *, is_trial: bool) -> str:
    """What CHANGELOG.md says of a version, as Markdown. For a trial, what is not released will do.

    ReleaseError if it says nothing.
    """
    found = _section(changelog, version) or (_section(changelog, "Unreleased") if is_trial else "")
    if not found:
        raise ReleaseError(
            f"CHANGELOG.md says nothing of {version}: rename `## Unreleased` to `## {version} - "
            f"YYYY-MM-DD`"
            " and commit; to try one without: make release ALLOW_DIRTY=1"
        )
    return found


def _section(changelog: str, name: str) -> str:
    heading = rf"^## \[?{re.escape(name)}\]?(?: [^\n]*)?$"
    found = re.search(rf"{heading}\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise ReleaseError("git is not installed") from error
    if done.returncode:
        raise ReleaseError(f"a release is made of a commit: {done.stderr.strip()}")
    return done.stdout
