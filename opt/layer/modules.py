"""The modules of the standard library that a layer needs.

Found by reading sources: everything that our package imports anywhere, and what those modules
import when they are loaded. So a new import of ours is in the next layer. tests/layer compares the
result with the modules that both processes load.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

# The interpreter itself or C code imports these, which no source shows.
MARGIN = {
    "os": "how the interpreter finds its library",
    "encodings": "loaded before any script",
    "encodings.aliases": "loaded before any script",
    "encodings.utf_8": "the file system's encoding, loaded before any script",
    "encodings.ascii": "the locale's encoding where LANG is C and UTF-8 mode is off",
    "encodings.latin_1": "heads of HTTP messages",
    "encodings.idna": "getaddrinfo encodes every host name with it, and TLS the server's name",
    "stringprep": "part of encodings.idna",
    "warnings": "a warning that C code raises",
}
# Imports that may fail, or that no process of a layer reaches.
UNUSED = {
    "site": "-S leaves it out",
    "_sitebuiltins": "part of site",
    "sysconfig": "asked by `python -m lrap_otel`, not by the entrypoint",
    "platform": "uuid asks it about macOS",
    "_typing": "typing has the same in Python",
    "hashlib": "for interpreters without a SHA-256 of their own; a layer's has _sha2, or _sha256 "
    "before 3.12",
    "_uuid": "uuid1 alone asks it",
    "_threading_local": "threading.local is in C",
    "traceback": "what threading prints of an error is written in C",
    "_py_abc": "abc is in C",
    "_pydecimal": "decimal is in C",
    "_pydatetime": "datetime is in C",
    "_pyio": "io is in C",
    "ntpath": "Windows",
    "nt": "Windows",
    "_winapi": "Windows",
}


@dataclass
class Closure:
    """`stdlib`: module to its source file; `extensions`: names to look for in lib-dynload; `why`:
    module to its importer.
    """

    stdlib: dict[str, Path] = field(default_factory=dict)
    extensions: set[str] = field(default_factory=set)
    why: dict[str, str] = field(default_factory=dict)


def closure(package: Iterable[Path], stdlib: Path) -> Closure:
    """The modules of the standard library in `stdlib` that these source files of our
    package need.
    """
    found = Closure()
    waiting = list(MARGIN.items())
    for source in package:
        tree = ast.parse(source.read_text(encoding="utf-8"))
        waiting += [(name, str(source)) for name in sorted(imported(tree, "", is_deep=True))]
    while waiting:
        name, why = waiting.pop()
        for module in _with_parents(name):
            if module in found.why or module in UNUSED:
                continue
            source = source_of(module, stdlib)
            if source is None:
                found.extensions.add(module)
                continue
            found.stdlib[module], found.why[module] = source, why
            package_name = module if source.name == "__init__.py" else module.rpartition(".")[0]
            tree = ast.parse(source.read_text(encoding="utf-8"))
            waiting += [
                (each, module) for each in sorted(imported(tree, package_name, is_deep=False))
            ]
    return found


def source_of(module: str, stdlib: Path) -> Path | None:
    """The source file of a module of the standard library; None for a compiled module, or if there
    is none.
    """
    path = stdlib / module.replace(".", "/")
    for candidate in (path / "__init__.py", path.with_name(f"{path.name}.py")):
        if candidate.is_file():
            return candidate
    return None


def imported(tree: ast.AST, package: str, *, is_deep: bool) -> set[str]:
    """Every imported name in this source that may be a module; with `is_deep`, inside functions
    too.
    """
    names: set[str] = set()
    for node in _executed(tree, is_deep=is_deep):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return {name for name in names if name and not name.endswith(".*")}


def _executed(node: ast.AST, *, is_deep: bool) -> Iterator[ast.AST]:
    """The nodes that run when a module is imported: without blocks for type checkers
    and scripts.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _is_never(child.test, is_deep=is_deep):
            for other in child.orelse:
                yield other
                yield from _executed(other, is_deep=is_deep)
        elif is_deep or not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from _executed(child, is_deep=is_deep)


def _is_never(test: ast.expr, *, is_deep: bool) -> bool:
    text = ast.unparse(test)
    if text.rpartition(".")[2] == "TYPE_CHECKING":
        return True
    return not is_deep and text in {
        "__name__ == '__main__'",
        "sys.platform == 'win32'",
        "_WIN32",
        "os.name == 'nt'",
    }


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    kept = parts[: len(parts) - node.level + 1]
    return ".".join([*kept, node.module] if node.module else kept)


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: length + 1]) for length in range(len(parts))]
