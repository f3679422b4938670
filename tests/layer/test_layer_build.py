"""What `make layer` and `make image` write: small, the same each time, and with nothing missing."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from lrap_otel.emulator import Config, Emulator
from lrap_otel.emulator.config import NO_TELEMETRY_API
from opt.layer import archive, content, modules, sources
from opt.layer.bundles import BUNDLES
from tests.e2e.conftest import HTTP_EVENT
from tests.layer import builds

if TYPE_CHECKING:
    from pathlib import Path

BOTH = (12_000_000, 34_000_000)
ALONE = (7_000_000, 20_000_000)


def command_in_layer(opt: Path, *arguments: str) -> list[str]:
    """The layer's interpreter for this machine, as the entrypoint starts it."""
    folder = opt / "lrap-otel" / platform.machine()
    loader = [str(folder / "ld.so"), "--inhibit-cache", "--library-path", str(folder / "lib")]
    return [*loader, str(folder / "python"), "-I", "-S", *arguments]


def test_both_architectures_together_are_as_small_as_promised(built: Path) -> None:
    total = json.loads((built / "sizes.json").read_text())["all"]
    assert total["zipped"] <= BOTH[0], total
    assert total["unzipped"] <= BOTH[1], total
    # What the table says is what there is.
    with zipfile.ZipFile(built / "lrap-otel.zip") as packed:
        assert sum(entry.file_size for entry in packed.infolist()) == total["unzipped"]
    assert abs((built / "lrap-otel.zip").stat().st_size - total["zipped"]) < 100


@pytest.mark.parametrize("alone", sources.ARCHITECTURES)
def test_one_architecture_alone_is_as_small_as_promised(alone: str, tmp_path: Path) -> None:
    builds.make(tmp_path / "build", "--arch", alone)
    total = json.loads((tmp_path / "build/sizes.json").read_text())["all"]
    assert total["zipped"] <= ALONE[0], total
    assert total["unzipped"] <= ALONE[1], total
    (other,) = set(sources.ARCHITECTURES) - {alone}
    assert not (tmp_path / "build/opt/lrap-otel" / other).exists()


def test_a_second_build_has_the_same_checksum(built: Path, tmp_path: Path) -> None:
    said = builds.make(tmp_path / "build", "image")
    assert archive.checksum(tmp_path / "build/lrap-otel.zip") == archive.checksum(
        built / "lrap-otel.zip"
    )
    assert archive.checksum(tmp_path / "build/lrap-otel.zip") in said
    assert _index(tmp_path / "build/image") == _index(built / "image")


def test_the_folder_and_the_zip_hold_the_same(built: Path) -> None:
    with zipfile.ZipFile(built / "lrap-otel.zip") as packed:
        assert packed.testzip() is None
        in_zip = {
            (each.filename, each.external_attr >> 16, packed.read(each))
            for each in packed.infolist()
        }
    assert in_zip == {tuple(entry) for entry in archive.entries(built / "opt")}


def test_nothing_in_it_is_a_link_or_may_be_written_by_others(built: Path) -> None:
    for entry in archive.entries(built / "opt"):
        assert entry.mode in {0o040755, 0o100755, 0o100644}, entry.name


def test_the_files_that_lambda_and_users_name_are_there_and_can_be_executed(built: Path) -> None:
    for name in ("extensions/lrap-otel", "wrapper", "lrap-otel/wrapper"):
        assert os.access(built / "opt" / name, os.X_OK)
    # Lambda starts whatever lies in extensions/.
    assert [path.name for path in (built / "opt/extensions").iterdir()] == ["lrap-otel"]


def test_no_module_of_a_workstation_and_no_package_of_others_is_in_it(built: Path) -> None:
    names = {entry.name for entry in archive.entries(built / "opt")}
    assert not [
        name
        for name in names
        if name.startswith(("lrap_otel/emulator", "lrap_otel/aws", "lrap_otel/cli"))
    ]
    assert not [
        name
        for name in names
        if "packages/" in name or "opentelemetry/" in name or "google/" in name
    ]


def test_every_module_of_ours_and_of_the_library_can_be_imported_in_it(built: Path) -> None:
    package = [path.relative_to(content.PACKAGE.parent) for path in content.package_sources()]
    names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in package]
    for folder in (built / "opt/lrap-otel/lib").iterdir():
        files = [path.relative_to(folder).with_suffix("") for path in folder.rglob("*.pyc")]
        names += [".".join(path.parts).removesuffix(".__init__") for path in files]
    scripts = {"lrap_otel.__main__"}
    load = "".join(f"lrap_otel.bundle.load({name!r})\n" for name in BUNDLES)
    script = f"import sys\nsys.path.insert(0, sys.argv[1])\nimport lrap_otel.bundle\n{load}for name in sys.argv[2:]: __import__(name)"
    wanted = sorted(set(names) - scripts)
    done = subprocess.run(
        command_in_layer(built / "opt", "-B", "-c", script, str(built / "opt"), *wanted),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(wanted) > 100


def test_the_library_is_what_the_processes_load_and_a_margin_with_a_reason_for_each(
    built: Path, tmp_path: Path
) -> None:
    opt = tmp_path / "opt"
    shutil.copytree(built / "opt", opt)
    library = next((opt / "lrap-otel/lib").iterdir())
    files = sorted(library.rglob("*.pyc"))
    read = _read_by_one_event(opt, files)
    assert library / "encodings/utf_8.pyc" in read, (
        "this file system does not note when a file is read"
    )
    unread = {
        ".".join(path.relative_to(library).with_suffix("").parts).removesuffix(".__init__")
        for path in files
        if path not in read
    }
    source = sources.find("debian", list(sources.ARCHITECTURES), lambda _text: None, is_whole=False)
    margin = modules.closure([], source.native().stdlib).stdlib.keys()
    assert " ".join(sorted(unread - margin)) == ""
    assert all(modules.MARGIN.values())


def test_the_licence_of_everything_that_is_shipped_is_in_it(built: Path) -> None:
    licences = {path.name for path in (built / "opt/lrap-otel/licenses").iterdir()}
    assert {"lrap-otel", "glibc", "openssl", "zlib", "expat", "ca-certificates"} <= licences
    assert any(name.startswith("python3.") for name in licences)
    said = (built / "opt/lrap-otel/VERSION").read_text().splitlines()
    assert said[0] == f"lrap-otel {content.version()}"
    assert [line for line in said if line.startswith("libssl")]


def test_the_list_of_what_was_left_out_gives_a_reason_for_each(built: Path) -> None:
    lines = (built / "left-out.txt").read_text().splitlines()
    assert len(lines) > 300
    assert all(len(line.split("\t")) == 2 and line.split("\t")[1] for line in lines)
    assert "turtle.py\twindows on a screen" in lines


def test_other_tools_read_the_image_and_unpack_the_same_opt(built: Path, tmp_path: Path) -> None:
    for tool in ("skopeo", "umoci"):
        assert shutil.which(tool), f"install {tool}"
    source = f"oci:{built / 'image'}:{content.version()}"
    for architecture, name in sources.ARCHITECTURES.items():
        inspected = _run("skopeo", "--override-arch", name, "inspect", source)
        assert (json.loads(inspected)["Architecture"], json.loads(inspected)["Os"]) == (
            name,
            "linux",
        )
        copy = tmp_path / name
        _run("skopeo", "--override-arch", name, "copy", source, f"oci:{copy}:one")
        _run(
            "umoci",
            "unpack",
            "--rootless",
            "--image",
            f"{copy}:one",
            str(tmp_path / f"{name}-unpacked"),
        )
        (other,) = set(sources.ARCHITECTURES) - {architecture}
        expected = [
            entry
            for entry in archive.entries(built / "opt")
            if not entry.name.startswith(f"lrap-otel/{other}/")
            and entry.name != f"lrap-otel/{other}/"
        ]
        assert archive.entries(tmp_path / f"{name}-unpacked/rootfs/opt") == expected


def test_an_interpreter_that_cannot_be_had_is_said_and_the_next_is_taken(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(sources.SourceError, match="names neither debian nor uv nor a folder"):
        sources.find(str(tmp_path / "absent"), ["x86_64"], said.append, is_whole=False)
    with pytest.raises(sources.SourceError, match=r"there is no bin/python3\.X in "):
        sources.find(str(tmp_path), ["x86_64"], said.append, is_whole=False)


def test_folders_of_the_users_own_give_the_same_layer_as_the_packages_in_them(
    built: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    source = sources.find("debian", list(sources.ARCHITECTURES), said.append, is_whole=False)
    folders = ":".join(str(each.roots[0]) for each in source.interpreters.values())
    builds.make(tmp_path / "build", "--python", folders)
    for name in ("x86_64/python", "aarch64/ld.so", "x86_64/lib/libssl.so.3"):
        ours, theirs = (folder / "opt/lrap-otel" / name for folder in (tmp_path / "build", built))
        assert archive.checksum(ours) == archive.checksum(theirs)


def test_what_a_process_loads_until_the_first_span_is_out_comes_from_few_files(
    built: Path, tmp_path: Path
) -> None:
    opt = tmp_path / "opt"
    shutil.copytree(built / "opt", opt)
    package = opt / "lrap_otel"
    read = _read_by_one_event(opt, sorted(path for path in package.rglob("*") if path.is_file()))
    by_event = {path for path in read if path.parent.name == "triggers"}
    scripts = {"interpreter.sh"}
    boot = {"__main__.pyc", "bundle.pyc", "__init__.pyc"}
    bundles = {f"{name}.bundle" for name in BUNDLES}
    assert {str(path.relative_to(package)) for path in read - by_event} == scripts | boot | bundles


@pytest.mark.parametrize("name", BUNDLES)
def test_a_layer_whose_bundle_is_damaged_serves_the_function_untraced(
    name: str, built: Path, tmp_path: Path
) -> None:
    opt = tmp_path / "opt"
    shutil.copytree(built / "opt", opt)
    bundle = opt / f"lrap_otel/{name}.bundle"
    bundle.write_bytes(bundle.read_bytes()[: bundle.stat().st_size // 2])
    asyncio.run(_serve_one_event(opt, spans=0))


def _read_by_one_event(opt: Path, files: list[Path]) -> set[Path]:
    """Those of the files that are read from the start of a layer until one event is traced."""
    for path in files:
        # Linux notes the first reading of a file whose last reading is older than its last change.
        os.utime(path, (0, 1))
    asyncio.run(_serve_one_event(opt, spans=1))
    return {path for path in files if path.stat().st_atime != 0}


async def _serve_one_event(opt: Path, spans: int) -> None:
    config = Config(
        command=[sys.executable, "-m", "awslambdaric", "function.handler"],
        cwd=builds.ROOT / "tests/e2e",
        opt=opt,
        wrapper=opt / "lrap-otel/wrapper",
        timeout_s=30,
        telemetry=NO_TELEMETRY_API,
    )
    async with Emulator(config) as emulator:
        outcome = await emulator.invoke(json.dumps(HTTP_EVENT).encode())
        await emulator.shutdown()
        assert (outcome.status, len(emulator.otlp.received)) == ("success", spans)


def _index(folder: Path) -> bytes:
    return (folder / "index.json").read_bytes()


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout
