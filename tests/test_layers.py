"""Imports run one way, so that no export can stall a delivery and no typo can pass on both sides of
the emulator.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lrap_otel"

# Too slow to load in the proxy process (docs/development/rationale.md), though they are the
# standard library's.
SLOW = {
    "asyncio",
    "collections",
    "dataclasses",
    "enum",
    "http",
    "json",
    "logging",
    "os",
    "pathlib",
    "re",
    "signal",
    "socket",
    "threading",
    "typing",
}

LAYERS: dict[str, set[str]] = {
    "environment": set(),
    "settings": {"environment"},
    "registration": {"settings"},
    "log": set(),
    "text": set(),
    "http1": set(),
    "ipc": {"log"},
    "propagation": {"text"},
    "sandbox": {"ipc", "log", "propagation"},
    "handshake": {"ipc", "sandbox"},
    "handshake_client": set(),
    "proxy": {"handshake", "http1", "ipc", "log", "propagation", "sandbox", "settings", "text"},
    "extension": {"http1", "ipc", "log", "proxy", "sandbox", "settings", "text"},
    "telemetry": {"bundle", "environment", "ipc", "log", "propagation", "settings", "text"},
    "proxy_process": {
        "extension", "handshake", "http1", "ipc", "log", "propagation", "proxy", "sandbox", "settings", "telemetry",
        "text",
    },
    "bundle": set(),
    "boot": {"bundle", "handshake", "registration", "ipc", "log", "proxy_process", "settings", "telemetry"},
    "__main__": {"boot", "bundle"},
    "emulator": set(),
    # What reads variables is pure, and `doctor` must not have a second grammar of them; it asks an
    # endpoint by the exporter's own client for the same reason.
    "aws": {"environment", "extras", "propagation", "settings", "telemetry"},
    "cli": {"boot", "extras"},
    "extras": set(),
}  # fmt: skip
IN_THE_PROXY_PROCESS = (
    "environment",
    "settings",
    "registration",
    # Of these only what a line at LRAP_LOG_LEVEL=info says.
    "telemetry/percent",
    "telemetry/setting_keep",
    "telemetry/settings",
    "telemetry/url",
    "telemetry/variable_checks",
    "log",
    "text",
    "http1",
    "ipc",
    "sandbox",
    "propagation",
    "proxy",
    "extension",
    "proxy_process",
    "handshake",
    "bundle",
    "boot",
)


def sources(name: str) -> list[Path]:
    folder = PACKAGE / name
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{name}.py"]


def is_for_types_only(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def imports(node: ast.AST) -> set[str]:
    """Every module imported at run time, whole names."""
    found: set[str] = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            found |= {alias.name for alias in child.names}
        elif isinstance(child, ast.ImportFrom):
            module = child.module or ""
            # The version stands in the package itself, not in a module of a layer.
            names = {alias.name for alias in child.names} - {"__version__"}
            found |= {f"{module}.{name}" for name in names} if module == "lrap_otel" else {module}
        elif not is_for_types_only(child):
            found |= imports(child)
    return found


def test_every_module_has_its_layer() -> None:
    found = {
        path.stem if path.is_file() else path.name
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert found - {"__init__", "py.typed"} == LAYERS.keys()


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_a_module_imports_only_what_its_layer_may(name: str) -> None:
    for source in sources(name):
        ours = {
            module.split(".")[1]
            for module in imports(ast.parse(source.read_text()))
            if module.startswith("lrap_otel.")
        }
        assert ours - {name} <= LAYERS[name], source


@pytest.mark.parametrize("name", IN_THE_PROXY_PROCESS)
def test_the_proxy_process_loads_nothing_of_others_and_nothing_slow(name: str) -> None:
    for source in sources(name):
        tops = {module.partition(".")[0] for module in imports(ast.parse(source.read_text()))} - {
            "lrap_otel"
        }
        assert tops <= sys.stdlib_module_names - SLOW, source


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not for types either: who reads one of a circle has to read all of it."""
    of: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        name = "lrap_otel." + ".".join(
            path.relative_to(PACKAGE).with_suffix("").parts
        ).removesuffix(".__init__")
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= names | (
                    {node.module}
                    if not (PACKAGE.parent / node.module.replace(".", "/")).is_dir()
                    else set()
                )
        of[name] = found
    left = {name: found & of.keys() - {name} for name, found in of.items()}
    while free := {name for name, found in left.items() if not found & left.keys()}:
        left = {name: found for name, found in left.items() if name not in free}
    assert left == {}
