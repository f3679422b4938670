"""Which files of a function's code have changed since they were looked at last."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IGNORED_FOLDERS = frozenset(
    {"__pycache__", "node_modules", "venv", "cdk.out", "build", "dist", "target", "site-packages"}
)
# What code consists of; a file that the function itself writes is mostly another.
SUFFIXES = (
    "",
    ".py",
    ".js",
    ".mjs",
    ".cjs",
    ".json",
    ".yaml",
    ".yml",
    ".toml",
    ".so",
    ".rb",
    ".sh",
    ".jar",
    ".env",
)
# A larger tree is not a function's code: its first files are watched, and the rest is not.
MAX_FILES = 5000


class CodeWatch:
    """``changed()`` names the files that were written, added or removed since the last call.

    Hidden files and folders, and those of packages and builds, are not looked at.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = dict(self._look())

    def changed(self) -> list[str]:
        """Paths below the folder, in order; empty if nothing has changed."""
        now = dict(self._look())
        before, self._seen = self._seen, now
        return sorted(
            path for path in before.keys() | now.keys() if before.get(path) != now.get(path)
        )

    def _look(self) -> Iterator[tuple[str, tuple[int, int]]]:
        left = MAX_FILES
        for folder, folders, files in os.walk(self._folder):
            folders[:] = sorted(
                name for name in folders if not name.startswith(".") and name not in IGNORED_FOLDERS
            )
            for name in files:
                if left == 0:
                    return
                left -= 1
                if name.startswith(".") or os.path.splitext(name)[1] not in SUFFIXES:  # noqa: PTH122 - see below
                    continue
                path = os.path.join(folder, name)  # noqa: PTH118 - thousands of files a second
                try:
                    found = os.stat(path)  # noqa: PTH116 - see above
                except OSError:
                    continue
                yield os.path.relpath(path, self._folder), (found.st_mtime_ns, found.st_size)
