"""Interpreters of python-build-standalone, which uv downloads for any architecture, with Debian's
glibc.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from opt.layer import debian
from opt.layer.sources import ARCHITECTURES, Interpreter, Part, Source, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from opt.layer.sources import Say

VERSION = "3.13"
_TIMEOUT_S = 120


def source(architectures: Sequence[str], say: Say, *, is_whole: bool) -> Source:
    """One interpreter for each architecture, with its loader and C library."""
    del is_whole  # all of its modules' libraries are in the interpreter
    glibc = _glibc(say)
    folder = debian.cache() / "uv"
    interpreters = {}
    for name in debian.with_this_machine(architectures):
        root = _installed(folder, f"cpython-{VERSION}-linux-{name}-gnu")
        with glibc.lock():
            packages = glibc.fetch([f"libc6:{ARCHITECTURES[name]}", "ca-certificates"])
            libraries, parts = glibc.tree(name, list(packages.values()))
        licence = next(iter(sorted(root.rglob("LICENSE*"))), None)
        build = Part(
            "python-build-standalone", root.name, name, "python-build-standalone", "", licence
        )
        interpreters[name] = Interpreter(name, (root, libraries), (build, *parts))
    return Source(
        "python-build-standalone", interpreters, libraries / "usr/share/ca-certificates/mozilla"
    )


def _glibc(say: Say) -> debian.Apt:
    if shutil.which("uv") is None:
        raise SourceError("uv is not installed")
    apt = debian.Apt(debian.cache() / "apt")
    with apt.lock():
        apt.update(say)
    return apt


def _installed(folder: Path, request: str) -> Path:
    command = ["uv", "python", "install", "--install-dir", str(folder), request]
    environment = {
        **os.environ,
        "UV_PYTHON_INSTALL_BIN": "0",
        "UV_HTTP_TIMEOUT": "15",
        "UV_NO_PROGRESS": "1",
    }
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"uv did not get {request} within {_TIMEOUT_S} s") from error
    if done.returncode:
        causes = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise SourceError(f"uv cannot get {request}: {(causes or ['it failed'])[-1]}")
    found = sorted(
        path for path in folder.glob(request.replace(VERSION, f"{VERSION}.*")) if path.is_dir()
    )
    if not found:
        raise SourceError(f"uv said that it has {request}, which is not in {folder}")
    return found[-1]
