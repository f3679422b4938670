"""Other Pythons that this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path


@lru_cache(None)
def find(version: str) -> Path | None:
    """An interpreter of this version, itself and no launcher: from PATH, or one of
    pyenv's or uv's.
    """
    candidates = [shutil.which(f"python{version}")]
    for folder in (Path.home() / ".pyenv/versions", Path.home() / ".local/share/uv/python"):
        candidates += map(str, sorted(folder.glob(f"*{version}.*/bin/python{version}")))
    for candidate in filter(None, candidates):
        script = "import sys; print('%s %d.%d' % ((sys.executable,) + tuple(sys.version_info[:2])))"
        done = subprocess.run(
            [candidate, "-c", script], capture_output=True, text=True, check=False
        )
        executable, _, its_version = done.stdout.strip().rpartition(" ")
        if done.returncode == 0 and its_version == version:
            return Path(os.path.realpath(executable))
    return None
