"""The wheel and the source distribution, by the backend that pyproject.toml names."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# The hooks of PEP 517 work in the current folder, hence a process of its own.
_SCRIPT = """\
import sys
from flit_core import buildapi
print(buildapi.build_wheel(sys.argv[1]))
print(buildapi.build_sdist(sys.argv[1]))
"""


def build(root: Path, epoch_s: int, folder: Path) -> list[Path]:
    """Write both into `folder` and return their paths, the wheel first.

    `epoch_s` is the time that all their files get, so that two builds have the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(folder.absolute())],
        cwd=root,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch_s)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise OSError(f"flit_core built no wheel: {done.stderr.strip()}")
    return [folder / name for name in done.stdout.split()]
