"""Make installs what a target needs and no more, and begins anew after an interruption."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
FILES = (
    "Makefile",
    "pyproject.toml",
    "requirements-run.txt",
    "requirements-dev.txt",
    "requirements-fuzz.txt",
)
NEW = "-m venv --clear .venv"
RUN, DEVELOPMENT, FUZZ = (
    f"--require-hashes -r requirements-{name}.txt" for name in ("run", "dev", "fuzz")
)

# Writes down each call; makes the virtual environment's folder; hangs in the call that HANG_IN
# names.
PYTHON = """\
#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in *"-m venv --clear "*) rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python ;; esac
[ -n "$HANG_IN" ] && case "$*" in *"$HANG_IN") echo hanging && exec sleep 60 ;; esac
exit 0
"""


class Checkout:
    """The Makefile and the locks in a folder, and a Python that only writes down its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in FILES:
            shutil.copy(ROOT / name, folder / name)
        self._calls = folder / "calls"
        self._python = folder / "python"
        self._python.write_text(PYTHON)
        self._python.chmod(0o755)

    def make(self, target: str) -> list[str]:
        """Make `target`. The calls of Python that install something, each from its own words on."""
        done = subprocess.run(
            self._command(target), env=self._environment(""), cwd=self.folder, check=False
        )
        assert done.returncode == 0
        return self._take_calls()

    def make_and_kill(self, target: str, hang_in: str) -> list[str]:
        """The same, killed by a signal that nobody can catch while the call that ends so runs."""
        command, environment = self._command(target), self._environment(hang_in)
        with subprocess.Popen(
            command,
            env=environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            assert b"hanging\n" in iter(process.stdout.readline, b"")
            os.killpg(process.pid, signal.SIGKILL)
        return self._take_calls()

    def change(self, name: str) -> None:
        """Change a file a minute after everything else; times of files may be as coarse
        as 10 ms.
        """
        for path in [*self.folder.glob("*"), *self.folder.glob(".venv/.*")]:
            modified_s = path.stat().st_mtime - 60
            os.utime(path, (modified_s, modified_s))
        (self.folder / name).touch()

    def _command(self, target: str) -> list[str]:
        return ["make", target, f"PYTHON={self._python}"]

    def _environment(self, hang_in: str) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        return {**own, "CALLS": str(self._calls), "HANG_IN": hang_in}

    def _take_calls(self) -> list[str]:
        calls = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.unlink(missing_ok=True)
        return [
            match[0]
            for call in calls
            if (match := re.search("-m venv .*|--require-hashes .*", call))
        ]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    return Checkout(tmp_path)


def test_a_run_installs_the_small_lock_and_the_tests_add_theirs_to_it(checkout: Checkout) -> None:
    assert checkout.make(".venv/.run") == [NEW, RUN]
    assert checkout.make("setup") == [DEVELOPMENT]
    assert checkout.make(".venv/.fuzz") == [FUZZ]


def test_what_is_installed_is_not_installed_again(checkout: Checkout) -> None:
    checkout.make(".venv/.fuzz")

    assert [checkout.make(target) for target in (".venv/.run", "setup", ".venv/.fuzz")] == [
        [],
        [],
        [],
    ]


@pytest.mark.parametrize("interrupted", [RUN, DEVELOPMENT, FUZZ])
def test_an_interrupted_installation_begins_anew(checkout: Checkout, interrupted: str) -> None:
    assert checkout.make_and_kill(".venv/.fuzz", interrupted)[-1] == interrupted

    # pip takes a package whose files it had begun to write for installed.
    assert checkout.make(".venv/.run") == [NEW, RUN]
    assert checkout.make(".venv/.fuzz") == [DEVELOPMENT, FUZZ]


def test_a_changed_lock_is_installed(checkout: Checkout) -> None:
    checkout.make("setup")
    checkout.change("requirements-dev.txt")
    assert checkout.make("setup") == [DEVELOPMENT]
    checkout.change("requirements-run.txt")
    assert checkout.make("setup") == [NEW, RUN, DEVELOPMENT]


def pins(lock: str) -> set[str]:
    text = (ROOT / lock).read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9.-]+==[^ ]+)", text, re.MULTILINE))


def test_the_small_lock_has_the_versions_of_the_large_one() -> None:
    small, large = pins("requirements-run.txt"), pins("requirements-dev.txt")

    assert len(small) < len(large) / 3
    assert small <= large
