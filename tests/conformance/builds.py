"""Builds of the clients' functions: ``python -m tests.conformance.builds [NAME ...]``, all of them
without a name.

Two are built at a time, the longest first, with one job each. A build is kept outside the checkout,
under a name that contains the hash of its sources, and is made only if it is absent.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Build = Callable[[Path], None]

HERE = Path(__file__).parent
COLLECTOR_BUILDER = "go.opentelemetry.io/collector/cmd/builder@v0.158.0"


def built(name: str) -> Path:
    """The folder of a finished build, which is made now if it is absent.

    Raises CalledProcessError if a step fails, FileNotFoundError if a toolchain is missing.
    """
    ready = place(name)
    if not ready.is_dir():
        ready.parent.mkdir(parents=True, exist_ok=True)
        began_s = time.monotonic()
        say(f"{name}: building (once) in {ready}")
        make(name, ready)
        say(f"{name}: built in {time.monotonic() - began_s:.0f} s")
    return ready


def is_ready(name: str) -> bool:
    """Whether ``built`` has nothing to do."""
    return place(name).is_dir()


def place(name: str) -> Path:
    """The folder of the build of the sources as they are now."""
    return cache() / f"{name}{VARIANTS.get(name, '')}-{fingerprint(HERE / name)}"


def make(name: str, ready: Path) -> None:
    """Build in a temporary folder, and move the result to `ready` when it is complete."""
    with tempfile.TemporaryDirectory(prefix=f"{name}-building-", dir=ready.parent) as scratch:
        folder = Path(scratch) / "build"
        shutil.copytree(HERE / name, folder, ignore=shutil.ignore_patterns("__pycache__"))
        BUILDS[name](folder)
        # Another process may have been faster; its build is as good.
        if not ready.is_dir():
            folder.rename(ready)


def cache() -> Path:
    """Where builds are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lrap-otel" / "conformance"


def fingerprint(sources: Path) -> str:
    """A short hash of every source file's path and bytes."""
    said = hashlib.sha256()
    for path in sorted(
        path for path in sources.rglob("*") if path.is_file() and path.suffix != ".pyc"
    ):
        said.update(f"{path.relative_to(sources)}\0".encode() + path.read_bytes())
    return said.hexdigest()[:12]


def python(folder: Path, interpreter: str = sys.executable) -> None:
    """``dependencies``: the client and the SDK, for this interpreter."""
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    files = ["--target", "dependencies", "--requirement", "requirements.txt"]
    run(folder, interpreter, "-m", "pip", "install", *options, *files)


def go(folder: Path) -> None:
    """``bootstrap`` and ``traced/bootstrap``, the one with the SDK in it: static binaries."""
    for package in (".", "./traced"):
        output = f"{package}/bootstrap"
        run(folder, "go", "build", "-p", "1", "-buildvcs=false", "-trimpath", "-o", output, package)


def node(folder: Path) -> None:
    """``node_modules``: the client with its native part, the SDK, and the Node that the client asks
    for.
    """
    run(folder, "npm", "ci", "--no-audit", "--no-fund")


def rust(folder: Path) -> None:
    """``bootstrap``. The dependencies' objects are kept for the next change of the function."""
    build_with_cargo(folder, cache() / "rust-target", "bootstrap")


def composed(folder: Path) -> None:
    """``passthrough`` and ``web-adapter``: other people's proxies. The dependencies' objects are
    kept as well.
    """
    build_with_cargo(folder, cache() / "composed-target", "passthrough", "web-adapter")


def build_with_cargo(folder: Path, objects: Path, *programs: str) -> None:
    """Each program into the folder; what it is made of stays in `objects`."""
    options = ["--release", "--locked", "--jobs", "1", "--target-dir", str(objects)]
    run(folder, "cargo", "build", *options)
    for name in programs:
        shutil.copy2(objects / "release" / name, folder / name)


def java(folder: Path) -> None:
    """``target/classes`` and ``target/dependency/*.jar``, the SDK's among them."""
    run(folder, "mvn", "--batch-mode", "--quiet", "compile", "dependency:copy-dependencies")


def collector(folder: Path) -> None:
    """``otelcol``: a collector with the components of both tiers of examples/collector."""
    run(
        folder,
        "go",
        "run",
        COLLECTOR_BUILDER,
        "--config",
        "builder.yaml",
        GOFLAGS="-p=1 -buildvcs=false",
    )


def run(folder: Path, *command: str, **environment: str) -> None:
    """Run one step at the lowest priority; its output goes to stderr."""
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(
            f"{command[0]} is not installed; this client cannot be built without it"
        )
    subprocess.run(
        ["nice", "-n", "19", *command],
        cwd=folder,
        env=os.environ | environment,
        stdout=2,
        check=True,
    )


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"conformance: {text}\n")
    sys.stderr.flush()


BUILDS: dict[str, Build] = {
    "collector": collector,
    "composed": composed,
    "rust": rust,
    "node": node,
    "go": go,
    "java": java,
    "python": python,
}
# Compiled parts fit one version of Python.
VARIANTS = {"python": f"-{sys.implementation.cache_tag}"}

if __name__ == "__main__":
    with ThreadPoolExecutor(max_workers=2) as lanes:
        list(lanes.map(built, sys.argv[1:] or BUILDS))
