"""The compiled parts of the benchmarks, made on the spot in ``bench/build`` and made again where a
source is newer.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE / "build"
C_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-pthread")
C_SOURCES = {
    "client": (HERE / "native/client.c", HERE / "native/http.h"),
    "upstream": (HERE / "native/upstream.c", HERE / "native/http.h"),
    "relay": (HERE / "peers/relay.c",),
}
POOLED = HERE / "peers/pooled"


class BuildError(Exception):
    """A compiler is missing or refused; the text is what it said."""


@cache
def program(name: str) -> Path:
    """The path of ``client``, ``upstream`` or ``relay``, compiled if need be."""
    path = BUILD / name
    if _is_older(path, C_SOURCES[name]):
        _run(_tool("cc"), *C_FLAGS, "-o", str(path), str(C_SOURCES[name][0]))
    return path


@cache
def pooled() -> Path:
    """The path of the proxy on hyper; its first build takes a minute and needs cargo and its
    registry.
    """
    path = BUILD / "pooled/release/pooled"
    if _is_older(path, (POOLED / "Cargo.toml", POOLED / "Cargo.lock", POOLED / "src/main.rs")):
        print("building bench/peers/pooled (once; about a minute)", file=sys.stderr)
        manifest = str(POOLED / "Cargo.toml")
        _run(
            _tool("cargo"), "build", "--quiet", "--release", "--locked",
            "--manifest-path", manifest, "--target-dir", str(BUILD / "pooled"),
        )  # fmt: skip
        path.touch()
    return path


def _is_older(path: Path, sources: tuple[Path, ...]) -> bool:
    return not path.exists() or path.stat().st_mtime < max(
        source.stat().st_mtime for source in sources
    )


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise BuildError(f"{name} is not installed")
    return path


def _run(*command: str) -> None:
    BUILD.mkdir(exist_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
