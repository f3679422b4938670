"""Interpreters from the user's own folders, one for each architecture.

A folder contains bin/python3.X (or usr/bin/...), lib/python3.X as source, and anywhere below it the
shared libraries that the interpreter loads, including glibc and its loader: the root file system of
an image, for example.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from opt.layer import elf
from opt.layer.sources import Interpreter, Part, Source, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opt.layer.sources import Say

_BUNDLES = (
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/cert.pem",
)


def source(wanted: str, architectures: Sequence[str], say: Say) -> Source:
    """`wanted` is one or more folders, separated by colons; each one's program shows its
    architecture.
    """
    interpreters = {}
    for name in wanted.split(":"):
        interpreter = _interpreter(Path(name).resolve())
        interpreters[interpreter.architecture] = interpreter
    missing = [name for name in architectures if name not in interpreters]
    if missing:
        raise SourceError(f"no folder of {wanted} holds an interpreter for {' or '.join(missing)}")
    if len({each.version for each in interpreters.values()}) > 1:
        raise SourceError("the interpreters are of different versions; they share their bytecode")
    return Source("folders", interpreters, _certificates(interpreters, say))


def _interpreter(root: Path) -> Interpreter:
    if not root.is_dir():
        raise SourceError(f"LAYER_PYTHON names neither debian nor uv nor a folder: {root}")
    unnamed = Interpreter("", (root,), ())
    try:
        architecture = elf.architecture(unnamed.executable.read_bytes())
    except elf.ElfError as error:
        raise SourceError(f"{unnamed.executable}: {error}") from error
    licence = next(
        (path for path in sorted(root.rglob("LICENSE*")) if path.parent.name.startswith("python")),
        None,
    )
    part = Part("python", unnamed.version, architecture, f"the folder {root.name}", "", licence)
    return Interpreter(architecture, (root,), (part,))


def _certificates(interpreters: dict[str, Interpreter], say: Say) -> Path:
    for root in [*(root for each in interpreters.values() for root in each.roots), Path("/")]:
        for name in _BUNDLES:
            if (root / name).is_file():
                say(f"CA certificates: {root / name}")
                return root / name
    raise SourceError(
        f"CA certificates are in none of {', '.join(_BUNDLES)}, of the folders or of this machine"
    )
