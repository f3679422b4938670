"""The layer under test, built from the sources as they are and kept outside the checkout: ``python
-m tests.layer.builds``.

A build is named by the hash of its inputs, and made only where it is absent.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from opt.layer import content, debian

ROOT = Path(__file__).parents[2]
_KEPT = 2


def built() -> Path:
    """The folder with ``lrap-otel.zip``, ``opt``, ``image``, ``sizes.json`` and ``left-out.txt`` of
    both architectures.
    """
    ready = debian.cache() / "builds" / fingerprint()
    if not ready.is_dir():
        ready.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=ready.parent, prefix="building-") as scratch:
            make(Path(scratch) / "build", "image")
            if not ready.is_dir():  # somebody else may have been faster; theirs is as good
                (Path(scratch) / "build").rename(ready)
    _forget_others(ready)
    return ready


def make(folder: Path, *arguments: str) -> str:
    """Build into `folder` as `make layer` does; what it said. CalledProcessError where it fails."""
    command = [sys.executable, "-m", "opt.layer", "--build", str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stderr


def fingerprint() -> str:
    """A short hash of everything that the build reads in the checkout."""
    inputs = [
        *content.package_files(),
        *sorted((ROOT / "opt").rglob("*.py")),
        ROOT / "opt/entrypoint",
        ROOT / "opt/wrapper",
        ROOT / "pyproject.toml",
        ROOT / "requirements.txt",
    ]
    said = hashlib.sha256()
    for path in inputs:
        said.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return said.hexdigest()[:12]


def _forget_others(ready: Path) -> None:
    """Keep this build and one more: each is 60 MB."""
    ready.touch()
    builds = [path for path in ready.parent.iterdir() if not path.name.startswith("building-")]
    for path in sorted(builds, key=lambda each: each.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    sys.stdout.write(f"{built()}\n")
