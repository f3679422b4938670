"""The documents for users: their links lead somewhere, and what they name exists."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from lrap_otel.cli import COMMANDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "bench/*.md", "tests/**/*.md")
    for path in ROOT.glob(pattern)
    if "node_modules" not in path.parts
)
FOR_USERS = [
    ROOT / "README.md",
    *(path for path in DOCUMENTS if path.parent == ROOT / "docs"),
]
# The example of a name that is none.
MISSPELLED = {"LRAP_PORT"}
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)

by_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)
by_document_for_users = pytest.mark.parametrize(
    "document", FOR_USERS, ids=lambda path: str(path.relative_to(ROOT))
)


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def codes(document: Path) -> list[str]:
    """Each piece of inline code, and each command of the blocks with its continued lines."""
    text = text_of(document)
    blocks = [block.partition("\n")[2].removesuffix("```") for block in FENCE.findall(text)]
    lines = [line for block in blocks for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", text)) + lines


def anchors(document: Path) -> set[str]:
    """The names of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(document)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@by_document
def test_each_link_leads_to_a_file_and_a_heading_that_exist(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text_of(document)))
    for link in links:
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@by_document
def test_each_target_of_make_exists_and_so_does_each_of_its_variables(document: Path) -> None:
    makefile = text_of(ROOT / "Makefile")
    for code in codes(document):
        for target, arguments in re.findall(
            r"(?:^|[\s;&])make ([a-z][a-z-]*)((?: [A-Z_]+=\S*)*)", code
        ):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), code
            for name in re.findall(r"([A-Z_]+)=", arguments):
                assert (
                    name == "BENCH_ROUNDS" or f"$({name}" in makefile or f"${name}" in makefile
                ), code


@cache
def options_of(command: str) -> frozenset[str]:
    """Which options a subcommand of ``lrap-otel`` takes."""
    parser = argparse.ArgumentParser()
    if command in COMMANDS:
        importlib.import_module(COMMANDS[command][0]).add_arguments(parser)
    return frozenset(name for action in parser._actions for name in action.option_strings)


@by_document
def test_each_command_of_lrap_otel_exists_and_so_does_each_of_its_options(document: Path) -> None:
    for code in codes(document):
        for found in re.finditer(r"(?:^|[/\s\"])lrap-otel\"? ([a-z]+)(?=\s|$)(.*)", code):
            if found[1] not in {*COMMANDS, "extension"}:
                assert code.startswith(("lrap-otel | ", "lrap-otel: ")) or "  " in code, code
                continue
            words = shlex.split(found[2].partition(" -- ")[0].replace("…", ""), comments=True)
            unknown = {
                word.partition("=")[0] for word in words if word.startswith("--")
            } - options_of(found[1])
            assert not unknown, (code, unknown)


@pytest.mark.parametrize("command", ["emulate", "invoke"])
def test_each_option_of_the_emulator_is_in_its_document(command: str) -> None:
    named = {word for code in codes(ROOT / "docs/emulator.md") for word in code.split()}
    assert options_of(command) - named == {"-h", "--help"}


@by_document_for_users
def test_each_option_that_is_named_alone_is_one_of_lrap_otel(document: Path) -> None:
    known = frozenset().union(*map(options_of, COMMANDS))
    for code in codes(document):
        if code.startswith("--"):
            assert code.split()[0] in known, code


@by_document_for_users
def test_each_variable_that_is_named_is_documented_with_the_settings(document: Path) -> None:
    documented = set(
        re.findall(r"\b(?:LRAP|OTEL)_[A-Z_]*[A-Z]\b", text_of(ROOT / "docs/settings.md"))
    )
    named = set(re.findall(r"\b(?:LRAP|OTEL)_[A-Z_]*[A-Z]\b(?![_*{])", text_of(document)))
    assert named - MISSPELLED <= documented


@by_document
def test_each_path_of_the_checkout_that_is_named_exists(document: Path) -> None:
    for code in codes(document):
        if re.fullmatch(r"(?:tests|opt|bench|docs|examples|lrap_otel)/[\w./-]+", code):
            made = code.startswith("bench/build")
            assert made or (ROOT / code).exists() or (document.parent / code).exists(), code


@by_document
def test_each_python_file_that_is_named_without_its_folder_exists(document: Path) -> None:
    known = {
        path.name
        for folder in ("lrap_otel", "tests", "bench", "opt", "examples")
        for path in (ROOT / folder).rglob("*.py")
    }
    named = {code for code in codes(document) if re.fullmatch(r"[a-z_0-9]+\.py", code)}
    # What a function of the reader's is called.
    assert named - {"app.py", "handler.py"} <= known


@cache
def names_of_tests() -> frozenset[str]:
    return frozenset(
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(text_of(path)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@by_document
def test_each_test_that_is_named_exists(document: Path) -> None:
    named = {code for code in codes(document) if re.fullmatch(r"test_\w+", code)}
    assert named <= names_of_tests()
