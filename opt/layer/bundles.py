"""Which modules of ours the layer has in one file, because one process loads them together.

What is in a bundle is read from the sources: all that its modules import as they are loaded.
lrap_otel/bundle.py loads it.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from opt.layer.modules import imported

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# What loads a bundle is loaded from its own file.
_LOADER = ("lrap_otel.bundle",)
# In the order in which a process loads them. The telemetry process is forked once `start` is
# loaded.
BUNDLES = {
    "boot": ("lrap_otel.boot",),
    "start": ("lrap_otel.ipc.channel", "lrap_otel.ipc.telemetry_port", "lrap_otel.handshake"),
    "proxy": ("lrap_otel.proxy_process",),
    "telemetry": (
        "lrap_otel.telemetry.worker",
        "lrap_otel.telemetry.pipeline",
        # The Telemetry API is asked by default.
        "lrap_otel.telemetry.platform.listener",
        "lrap_otel.telemetry.platform.observer",
    ),
}
# Of the proxy's, what a module of the telemetry process may import later (tests/test_layers.py says
# what else it may not); and of the telemetry process's, what the proxy imports at
# LRAP_LOG_LEVEL=info. They have files as well.
SHARED = {"environment", "log", "propagation", "settings", "text"}
ALSO_OF_THE_PROXY = ("lrap_otel.telemetry.settings", "lrap_otel.telemetry.variable_checks")
LOADED_BEFORE = {
    "boot": (),
    "start": ("boot",),
    "proxy": ("boot", "start"),
    "telemetry": ("boot", "start"),
}


def modules_of(bundle: str, package: Path) -> dict[str, Path]:
    """The modules of a bundle and their sources, each after those that it imports.

    `package` is the folder of lrap_otel/.
    """
    before = [*_LOADER, *(entry for earlier in LOADED_BEFORE[bundle] for entry in BUNDLES[earlier])]
    return _closure(BUNDLES[bundle], package, _closure(before, package, {}))


def without_files(package: Path) -> set[Path]:
    """The sources of modules that the layer has in bundles alone."""
    of = {bundle: set(modules_of(bundle, package).values()) for bundle in BUNDLES}
    shared = {
        path for path in of["proxy"] if path.relative_to(package).with_suffix("").parts[0] in SHARED
    }
    return (of["boot"] | of["start"] | of["telemetry"] | of["proxy"] - shared) - {
        *_closure(ALSO_OF_THE_PROXY, package, {}).values()
    }


def _closure(names: Iterable[str], package: Path, known: Mapping[str, Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    under_way: set[str] = set()

    def visit(name: str) -> None:
        path = _source(name, package)
        if path is None or name in known or name in under_way:
            return
        under_way.add(name)
        parent = name.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for each in (
            parent,
            *sorted(imported(tree, name if _is_package(path) else parent, is_deep=False)),
        ):
            visit(each)
        found[name] = path

    for name in names:
        visit(name)
    return found


def _is_package(path: Path) -> bool:
    return path.name == "__init__.py"


def _source(name: str, package: Path) -> Path | None:
    """The source of a module of ours; None for anything else, such as a name in a module."""
    first, *rest = name.split(".")
    if first != package.name:
        return None
    path = package.joinpath(*rest)
    candidates = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)
