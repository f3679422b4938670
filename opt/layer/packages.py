"""Packages of others in a layer, from a lock file, for the layer's interpreter rather than this
machine's.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from opt.layer.sources import SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from opt.layer.sources import Interpreter

_TIMEOUT_S = 600


def are_asked_for(lock: Path) -> bool:
    """Whether a lock file names any package."""
    return lock.exists() and any(
        line[:1].isalpha() for line in lock.read_text(encoding="utf-8").splitlines()
    )


def install(lock: Path, interpreter: Interpreter, target: Path) -> None:
    """Unpack the wheels of `lock`, verified by hash, into `target`. Raises SourceError if one is
    not available.
    """
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-compile",
    ]
    command += [
        "--require-hashes",
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={interpreter.version}",
    ]
    for baseline in ("manylinux2014", "manylinux_2_17", "manylinux_2_28"):
        command.append(f"--platform={baseline}_{interpreter.architecture}")
    for abi in (f"cp{interpreter.version.replace('.', '')}", "abi3", "none"):
        command.append(f"--abi={abi}")
    command += [f"--requirement={lock}", f"--target={target}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [
            "pip failed"
        ]
        raise SourceError(f"packages for {interpreter.architecture}: {lines[0]}")
    shutil.rmtree(target / "bin", ignore_errors=True)
    for record in target.rglob("RECORD"):
        record.unlink()
