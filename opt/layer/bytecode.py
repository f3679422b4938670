"""Compile sources to bytecode. The build runs this script in the interpreter that will load the
bytecode.

Reads lines ``KIND <tab> SOURCE <tab> TARGET <tab> NAME <tab> MODULE`` from stdin; NAME is the file
name in the bytecode. With a MODULE, TARGET is a bundle, which holds the modules in the order of
their lines. The bytecode of other targets is hash-based and unchecked: the interpreter does not
look at sources, so their times do not matter.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType

# By kind: of the standard library and of our package without assertions and docstrings.
_OPTIMIZE = {"stdlib": 2, "package": 2, "packages": 0}


class WithoutAnnotations(ast.NodeTransformer):
    """Drops what only type checkers read: the annotations of functions, and blocks for type
    checkers.

    To evaluate and keep annotations is a tenth of the instructions of our package's import. A
    class keeps its own: those of a record are its fields (lrap_otel/ipc/records.py).
    """

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """A function, and what is in it."""
        arguments = node.args
        node.returns = None
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            argument.annotation = None
        for argument in (arguments.vararg, arguments.kwarg):
            if argument is not None:
                argument.annotation = None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        """A statement that may be for type checkers alone."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" and not node.orelse:
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)


def _compile(kind: str, source: str, name: str) -> tuple[CodeType, bytes]:
    """The code of a file, and its content."""
    content = Path(source).read_bytes()
    tree = ast.parse(content, name)
    if kind == "package":
        tree = ast.fix_missing_locations(WithoutAnnotations().visit(tree))
    return compile(tree, name, "exec", dont_inherit=True, optimize=_OPTIMIZE[kind]), content


if __name__ == "__main__":
    import marshal
    from importlib._bootstrap_external import _code_to_hash_pyc  # what py_compile calls
    from importlib.util import MAGIC_NUMBER, source_hash

    # Of each: module name, file name within the package, marshalled code.
    bundles: dict[str, list[tuple[str, str, bytes]]] = {}
    for line in sys.stdin:
        kind, source, target, name, module = line.rstrip("\n").split("\t")
        code, content = _compile(kind, source, name)
        if module:
            bundles.setdefault(target, []).append(
                (module, name.partition("/")[2], marshal.dumps(code))
            )
            continue
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).write_bytes(_code_to_hash_pyc(code, source_hash(content), checked=False))
    for target, modules in bundles.items():
        index = marshal.dumps([(module, name, len(code)) for module, name, code in modules])
        codes = (code for _, _, code in modules)
        Path(target).write_bytes(
            b"".join((MAGIC_NUMBER, len(index).to_bytes(4, "little"), index, *codes))
        )
    print(sys.implementation.cache_tag)  # noqa: T201 - the build reads it
