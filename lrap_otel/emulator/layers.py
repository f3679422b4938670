"""Layers of the function as one /opt folder, and the variables that make their content found."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from lrap_otel.emulator.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# The folder that the package is in: a checkout, or a virtual environment's packages.
ABOVE = Path(__file__).parents[2]
OUR_NAME = "lrap-otel"
OUR_WRAPPERS = ("/opt/lrap-otel/wrapper", "/opt/wrapper")
EXTENSION = """#!/bin/sh
exec {python} -m lrap_otel
"""
# What opt/wrapper does, with the interpreter that is known to be here.
WRAPPER = """#!/bin/sh
if {python} -I -S {package}/handshake_client.py \\
        "${{LRAP_LISTENER_PORT:-9009}}" "$$" "$0" </dev/null >/dev/null 2>&1; then
    AWS_LAMBDA_RUNTIME_API=127.0.0.1:${{LRAP_LISTENER_PORT:-9009}}
    export AWS_LAMBDA_RUNTIME_API
fi
if [ -x "$LRAP_NEXT_WRAPPER" ]; then
    set -- "$LRAP_NEXT_WRAPPER" "$@"
    unset LRAP_NEXT_WRAPPER
fi
exec "$@"
"""


def ours(scratch: Path) -> tuple[Path, Path]:
    """The executable of this project's extension, and its wrapper: a checkout's, or, if only the
    package is installed, two that are written to ``scratch``.
    """
    extension, wrapper = ABOVE / "opt/entrypoint", ABOVE / "opt/wrapper"
    if extension.is_file() and wrapper.is_file():
        return extension, wrapper
    known = {
        "python": shlex.quote(sys.executable),
        "package": shlex.quote(str(ABOVE / "lrap_otel")),
    }
    extension, wrapper = scratch / "extensions" / OUR_NAME, scratch / "lrap-otel-wrapper"
    extension.parent.mkdir()
    for path, text in ((extension, EXTENSION), (wrapper, WRAPPER)):
        path.write_text(text.format(**known), "utf-8")
        path.chmod(0o755)
    return extension, wrapper


def merge(layers: Sequence[Path], target: Path, on_step: Callable[[str], None]) -> Path | None:
    """One folder with the content of all layers, of which a later one overwrites an earlier one, as
    in Lambda's /opt; None without layers. A single folder is used where it is. StartError if one is
    neither a folder nor a zip file.
    """
    if not layers:
        return None
    if len(layers) == 1 and layers[0].is_dir():
        return layers[0].absolute()
    target.mkdir(parents=True, exist_ok=True)
    for layer in layers:
        on_step(f"layer {layer.name}")
        unpack(layer, target)
    return target


def unpack(source: Path, target: Path) -> None:
    """Put a folder's or a zip file's content into ``target``, executable bits and symlinks
    included.
    """
    try:
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
            return
        with zipfile.ZipFile(source) as archive:
            for member in archive.infolist():
                _extract(archive, member, target)
    except (OSError, shutil.Error, zipfile.BadZipFile, RuntimeError) as error:
        raise StartError(
            f"{source} cannot be used: {error}; name a folder or a zip file"
        ) from error


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    mode = member.external_attr >> 16
    if mode & 0o170000 != 0o120000:
        path = Path(archive.extract(member, target))
        if mode & 0o777 and not member.is_dir():
            path.chmod(mode & 0o777)
        return
    link = target / member.filename
    where = Path(os.path.normpath(link))
    leads_to = Path(os.path.normpath(where.parent / archive.read(member).decode()))
    if not where.is_relative_to(target) or not leads_to.is_relative_to(target):
        raise StartError(f"{archive.filename}: {member.filename} leads out of the layer")
    where.parent.mkdir(parents=True, exist_ok=True)
    where.unlink(missing_ok=True)
    where.symlink_to(archive.read(member).decode())


def variables(opt: Path | None, environment: Mapping[str, str], python: str) -> dict[str, str]:
    """Lambda's search paths for what layers hold, with ``opt`` in the place of /opt; the function's
    own values go first. ``python`` is such as ``python3.13``.

    Source: AWS Lambda developer guide, "Packaging your layer content".
    """
    if opt is None:
        return {}
    paths = {
        "PATH": [opt / "bin"],
        "LD_LIBRARY_PATH": [opt / "lib"],
        "PYTHONPATH": [opt / "python", opt / "python/lib" / python / "site-packages"],
        "NODE_PATH": [opt / "nodejs/node_modules"],
    }
    found = {name: [str(path) for path in those if path.is_dir()] for name, those in paths.items()}
    host = {"PATH": os.environ.get("PATH", os.defpath)}
    return {
        name: ":".join([*those, *filter(None, [environment.get(name, host.get(name, ""))])])
        for name, those in found.items()
        if those
    }


def in_opt(path: str, opt: Path | None) -> Path:
    """A path below /opt as it lies here, if ``opt`` has it; any other path as it is."""
    if opt is not None and path.startswith("/opt/") and (opt / path[len("/opt/") :]).exists():
        return opt / path[len("/opt/") :]
    return Path(path)
