"""The parts of the build that need no package: ELF files, imports, archives."""

from __future__ import annotations

import ast
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opt.layer import archive, elf, folders, modules
from opt.layer.sizes import Size, Table
from opt.layer.sources import SourceError


@pytest.fixture
def program() -> bytes:
    return Path(shutil.which("ls") or "/bin/ls").resolve().read_bytes()


def test_the_libraries_of_a_program_are_those_that_readelf_names(
    program: bytes, tmp_path: Path
) -> None:
    (tmp_path / "program").write_bytes(program)
    said = subprocess.run(
        ["readelf", "-d", "program"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    expected = [
        line.partition("[")[2].rstrip("]") for line in said.splitlines() if "(NEEDED)" in line
    ]
    assert elf.needed(program) == expected
    assert "ld-linux" in elf.loader(program)


def test_a_trimmed_program_still_runs_and_compresses_better(program: bytes, tmp_path: Path) -> None:
    trimmed = elf.trimmed(program)
    (tmp_path / "program").write_bytes(trimmed)
    (tmp_path / "program").chmod(0o755)
    done = subprocess.run(
        [tmp_path / "program", tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout == "program\n"
    assert len(archive.zlib_deflate(trimmed)) < len(archive.zlib_deflate(program))


def test_a_program_of_another_machine_is_named(program: bytes) -> None:
    foreign = bytearray(program)
    struct.pack_into("<H", foreign, 18, 40)
    with pytest.raises(elf.ElfError, match="ELF machine 40"):
        elf.architecture(bytes(foreign))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_program_are_refused(content: bytes) -> None:
    with pytest.raises(elf.ElfError):
        elf.architecture(content[:100])


def test_imports_for_type_checkers_and_of_scripts_do_not_count() -> None:
    source = """
import a
if TYPE_CHECKING:
    import b
else:
    import c
try:
    from d.e import f
except ImportError:
    import g
def function():
    import h
if __name__ == "__main__":
    import i
from . import j
from ..k import l
"""
    tree = ast.parse(source)
    loaded = modules.imported(tree, "top.package", is_deep=False)
    assert loaded == {
        "a",
        "c",
        "d.e",
        "d.e.f",
        "g",
        "top.package",
        "top.package.j",
        "top.k",
        "top.k.l",
    }
    assert modules.imported(tree, "top.package", is_deep=True) == loaded | {"h", "i"}


def test_what_a_module_needs_is_followed_through_the_library(tmp_path: Path) -> None:
    stdlib = tmp_path / "stdlib"
    (stdlib / "package").mkdir(parents=True)
    (stdlib / "package/__init__.py").write_text("from .inner import thing\n")
    (stdlib / "package/inner.py").write_text("import _compiled, other\n")
    (stdlib / "other.py").write_text("def later():\n    import never\n")
    (stdlib / "never.py").touch()
    ours = tmp_path / "ours.py"
    ours.write_text("def work():\n    import package.inner\n")
    found = modules.closure([ours], stdlib)
    assert found.stdlib.keys() == {"package", "package.inner", "other"}
    assert "_compiled" in found.extensions
    assert found.why["other"] == "package.inner"


def test_a_zip_keeps_content_and_modes_and_no_times(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder/script").write_text("#!/bin/sh\necho hello\n")
    (tree / "folder/script").chmod(0o700)
    (tree / "empty").touch()
    archive.write_zip(tree, tmp_path / "first.zip", archive.zlib_deflate)
    (tree / "empty").touch()
    archive.write_zip(tree, tmp_path / "second.zip", archive.zlib_deflate)
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()
    subprocess.run(["unzip", "-q", "first.zip", "-d", "unpacked"], cwd=tmp_path, check=True)
    done = subprocess.run(
        [tmp_path / "unpacked/folder/script"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "hello\n"
    assert (tmp_path / "unpacked/empty").read_bytes() == b""


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to("elsewhere")
    with pytest.raises(ValueError, match="symbolic link"):
        archive.entries(tmp_path / "tree")


def test_a_deflate_that_does_not_give_back_what_it_took_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("content")
    with pytest.raises(ValueError, match="file: what was deflated"):
        archive.write_zip(
            tmp_path / "tree",
            tmp_path / "zip",
            lambda content: archive.zlib_deflate(content + b"x"),
        )


def test_a_layer_that_is_too_large_is_told() -> None:
    assert Table({"a": Size(20_000_000, 7_000_000)}, (7, 20)).is_within_limits()
    assert not Table({"a": Size(20_000_001, 7_000_000)}, (7, 20)).is_within_limits()
    assert not Table({"a": Size(20_000_000, 7_000_001)}, (7, 20)).is_within_limits()


def test_a_folder_whose_interpreter_needs_what_is_not_there_says_what(
    program: bytes, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3.11").write_bytes(program)
    (tmp_path / "etc/ssl").mkdir(parents=True)
    (tmp_path / "etc/ssl/cert.pem").touch()
    architecture = elf.architecture(program)
    source = folders.source(str(tmp_path), [architecture], lambda _text: None)
    with pytest.raises(SourceError, match="is needed and is nowhere in "):
        source.interpreters[architecture].libraries(source.interpreters[architecture].executable)
    with pytest.raises(SourceError, match=r"os\.py is missing"):
        _ = source.interpreters[architecture].stdlib


def test_an_architecture_without_a_folder_is_named(program: bytes, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3.11").write_bytes(program)
    other = next(name for name in ("x86_64", "aarch64") if name != elf.architecture(program))
    with pytest.raises(SourceError, match=f"holds an interpreter for {other}"):
        folders.source(str(tmp_path), [other], lambda _text: None)
