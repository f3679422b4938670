"""Imports run one way, so that no export can stall a delivery and no typo can pass on both sides of the emulator."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lrap_otel"

# Too slow to load in the proxy process (docs/development/rationale.md), though they are the standard library's.
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

BASE = {"settings", "records", "log"}
PURE = {"propagation", "json_scan", "patterns"}
SEAM = {"bell", "channel", "invocations", "runtime_process"}
LAYERS: dict[str, set[str]] = {
    "settings": set(),
    "records": set(),
    "log": set(),
    "hello": set(),
    "succeed": {"bell", "telemetry"},
    "handshake": {"bell", "runtime_process"},
    "json_scan": set(),
    "patterns": set(),
    "runtime_process": set(),
    "propagation": PURE,
    "backlog": BASE,
    "bell": set(),
    "channel": BASE | {"backlog", "bell"},
    "invocations": BASE | PURE,
    "proxy": BASE | PURE | SEAM | {"handshake", "proxy"},
    "extension": BASE | PURE | SEAM | {"proxy", "extension"},
    "service": BASE | PURE | SEAM | {"proxy", "extension", "telemetry"},
    "boot": BASE | SEAM | {"handshake", "service", "telemetry"},
    "__main__": {"boot"},
    "telemetry": BASE | PURE | {"bell", "channel", "telemetry"},
    "emulator": {"emulator"},
    # What reads variables is pure, and `doctor` must not have a second grammar of them; it asks an
    # endpoint by the exporter's own client for the same reason.
    "aws": {"aws", "extras", "propagation", "settings", "telemetry"},
    "cli": {"boot", "extras"},
    "extras": set(),
}
IN_THE_PROXY_PROCESS = (
    "settings",
    # Of these only what a line at LRAP_LOG_LEVEL=info says.
    "telemetry/percent",
    "telemetry/settings",
    "telemetry/url",
    "telemetry/variable_checks",
    "records",
    "log",
    "json_scan",
    "patterns",
    "runtime_process",
    "propagation",
    "backlog",
    "bell",
    "channel",
    "invocations",
    "proxy",
    "extension",
    "service",
    "handshake",
    "boot",
)


def sources(name: str) -> list[Path]:
    folder = PACKAGE / name
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{name}.py"]


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


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
            module.split(".")[1] for module in imports(ast.parse(source.read_text())) if module.startswith("lrap_otel.")
        }
        assert ours - {name} <= LAYERS[name], source


@pytest.mark.parametrize("name", IN_THE_PROXY_PROCESS)
def test_the_proxy_process_loads_nothing_of_others_and_nothing_slow(name: str) -> None:
    for source in sources(name):
        tops = {module.partition(".")[0] for module in imports(ast.parse(source.read_text()))} - {"lrap_otel"}
        assert tops <= sys.stdlib_module_names - SLOW, source
