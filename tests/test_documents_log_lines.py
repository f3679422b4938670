"""docs/troubleshooting.md and the sources have the same log lines: whoever finds one in a log finds
it explained.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
QUOTED = [code.replace("…", " ... ") for code in re.findall(r"`([^`\n]+)`", DOCUMENT)]
OF_A_WORKSTATION = {"emulator", "aws", "cli.py"}
SAYING = {"debug", "info", "warning", "error", "warn", "_warn", "_fail", "_say_once"}
# Their texts become part of a line.
ERRORS_OF_EXPORT = {"NotSentError", "BrokenError", "ValueError", "OSError"}
PARTS_OF_A_LINE = {"lines", "unknown_names", "unused_names", "in_force"}
ANYTHING = ".*"
# Shorter texts are found everywhere.
LETTERS = 8


def pattern(node: ast.expr) -> str:
    """A text or an f-string as a regular expression; empty where it is none, or says too little."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        parts = [node.value]
    elif isinstance(node, ast.JoinedStr):
        parts = [str(part.value) if isinstance(part, ast.Constant) else "" for part in node.values]
    else:
        return ""
    # In a document a line is code, which has no room for backquotes.
    parts = [re.escape(part.replace("`", "")) for part in parts]
    return ANYTHING.join(parts) if len("".join(parts)) >= LETTERS else ""


def name_of(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]


def said_by(path: Path) -> Iterator[str]:
    """What this module says: arguments of calls that write a line, and texts that become part of
    one.
    """
    is_export = (
        path.parent.name == "export"
        or path.parts[-3:-1] == ("export", "aws")
        or path.name == "url.py"
    )
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args:
            is_saying = name_of(node.func) in SAYING or ast.unparse(node.func).endswith(
                "warnings.append"
            )
            if is_saying:
                yield pattern(node.args[0])
            elif name_of(node.func) in (ERRORS_OF_EXPORT if is_export else {"RefusedError"}):
                yield from map(pattern, node.args)
        elif isinstance(node, ast.Assign | ast.AugAssign) and is_export:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if {name_of(target) for target in targets} & {"text", "reason"}:
                yield pattern(node.value)
        elif isinstance(node, ast.FunctionDef) and node.name in PARTS_OF_A_LINE:
            # Not the docstring, and not the pieces that an f-string is made of.
            for inner in node.body[1:]:
                yield from map(
                    pattern, (part for part in ast.walk(inner) if isinstance(part, ast.JoinedStr))
                )


def said_by_script(path: Path) -> Iterator[str]:
    for text in re.findall(
        r'^\s*(?:.*\) |.*\|\| )?(?:lrap_)?(?:say|skip) (?:"\$\w+" )?"([^"]+)"',
        path.read_text(),
        re.MULTILINE,
    ):
        parts = re.split(r"\$\{[^}]*\}|\$\w+", text)
        if len("".join(parts)) >= LETTERS:
            yield ANYTHING.join(map(re.escape, parts))


def said() -> list[str]:
    modules = [
        path
        for path in sorted((ROOT / "lrap_otel").rglob("*.py"))
        if path.relative_to(ROOT / "lrap_otel").parts[0] not in OF_A_WORKSTATION
    ]
    scripts = [ROOT / "opt/entrypoint", ROOT / "opt/wrapper", ROOT / "lrap_otel/interpreter.sh"]
    found = [line for path in modules for line in said_by(path)]
    found += [line for path in scripts for line in said_by_script(path)]
    return sorted({line for line in found if line})


@pytest.mark.parametrize("line", said())
def test_each_line_that_the_extension_may_write_is_explained(line: str) -> None:
    assert any(re.search(line, quoted) for quoted in QUOTED)


@pytest.mark.parametrize("quoted", [code for code in QUOTED if code.startswith("lrap-otel: ")])
def test_each_line_that_is_explained_is_one_that_the_extension_may_write(quoted: str) -> None:
    text = re.sub(r"^lrap-otel: (debug|info|warning|error): ", "", quoted)
    assert text != quoted
    assert any(re.search(line, text) for line in said())


def test_there_are_lines_to_look_at() -> None:
    assert len(said()) > 60
    assert len([code for code in QUOTED if code.startswith("lrap-otel: ")]) > 20
