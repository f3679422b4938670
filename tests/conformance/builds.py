"""What the clients' functions are built with: ``python -m tests.conformance.builds [NAME ...]``, all of them without a name.

Each build is kept outside the checkout, under a name that its sources' hash is part of, and is made only where it is absent.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Build = Callable[[Path], None]

HERE = Path(__file__).parent
COLLECTOR_BUILDER = "go.opentelemetry.io/collector/cmd/builder@v0.158.0"


def built(name: str) -> Path:
    """The folder of a finished build, made now where it is absent.

    CalledProcessError when a step fails, FileNotFoundError when a toolchain is missing.
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
    """Where the build of the sources as they are now belongs."""
    return cache() / f"{name}-{fingerprint(HERE / name)}"


def make(name: str, ready: Path) -> None:
    """Build beside the place where it belongs, and move it there when it is whole."""
    with tempfile.TemporaryDirectory(prefix=f"{name}-building-", dir=ready.parent) as scratch:
        folder = Path(scratch) / "build"
        shutil.copytree(HERE / name, folder)
        BUILDS[name](folder)
        # Somebody else may have been faster; theirs is as good.
        if not ready.is_dir():
            folder.rename(ready)


def cache() -> Path:
    """Where builds are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lrap-otel" / "conformance"


def fingerprint(sources: Path) -> str:
    """A short hash of every source file's path and bytes."""
    said = hashlib.sha256()
    for path in sorted(path for path in sources.rglob("*") if path.is_file()):
        said.update(f"{path.relative_to(sources)}\0".encode() + path.read_bytes())
    return said.hexdigest()[:12]


def go(folder: Path) -> None:
    """``bootstrap``: one static binary."""
    run(folder, "go", "build", "-p", "1", "-buildvcs=false", "-trimpath", "-o", "bootstrap", ".")


def node(folder: Path) -> None:
    """``node_modules``: the client with its native part, and the Node it asks for."""
    run(folder, "npm", "ci", "--no-audit", "--no-fund")


def rust(folder: Path) -> None:
    """``bootstrap``; the dependencies' objects are kept for the next change of the function."""
    objects = cache() / "rust-target"
    run(folder, "cargo", "build", "--release", "--locked", "--jobs", "1", "--target-dir", str(objects))
    shutil.copy2(objects / "release" / "bootstrap", folder / "bootstrap")


def java(folder: Path) -> None:
    """``target/classes`` and ``target/dependency/*.jar``."""
    run(folder, "mvn", "--batch-mode", "--quiet", "compile", "dependency:copy-dependencies")


def collector(folder: Path) -> None:
    """``otelcol``: a collector of the core's receiver and processor, and of two exporters."""
    run(folder, "go", "run", COLLECTOR_BUILDER, "--config", "builder.yaml", GOFLAGS="-p=1 -buildvcs=false")


def run(folder: Path, *command: str, **environment: str) -> None:
    """One step, with the lowest claim on the machine; what it prints goes to stderr."""
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(f"{command[0]} is not installed; this client cannot be built without it")
    subprocess.run(["nice", "-n", "10", *command], cwd=folder, env=os.environ | environment, stdout=2, check=True)


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"conformance: {text}\n")
    sys.stderr.flush()


BUILDS: dict[str, Build] = {"go": go, "node": node, "java": java, "rust": rust, "collector": collector}

if __name__ == "__main__":
    for wanted in sys.argv[1:] or BUILDS:
        built(wanted)
