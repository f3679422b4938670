"""The wheel and the source distribution: whole, small, and the same each time."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from lrap_otel import __version__
from lrap_otel.extras import PACKAGES, remedy
from opt.release import distributions

ROOT = Path(__file__).parents[2]
EPOCH_S = 1_700_000_000


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return distributions.build(ROOT, EPOCH_S, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(built: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel in it and nothing else: no extras, no network."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin/python"),
        "install",
        "--quiet",
    ]
    offline = ["--disable-pip-version-check", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*pip, *offline, str(built[0])], check=True)
    return folder / "bin/lrap-otel"


def run(command: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(command), *arguments],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def files_of_the_package() -> set[str]:
    found = (ROOT / "lrap_otel").rglob("*")
    return {
        str(path.relative_to(ROOT)) for path in found if path.is_file() and path.suffix != ".pyc"
    }


def test_a_second_build_has_the_same_bytes(built: list[Path], tmp_path: Path) -> None:
    again = distributions.build(ROOT, EPOCH_S, tmp_path)

    assert [path.name for path in again] == [path.name for path in built]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in built]


def test_both_carry_the_version_of_the_package(built: list[Path]) -> None:
    assert [path.name for path in built] == [
        f"lrap_otel-{__version__}-py3-none-any.whl",
        f"lrap_otel-{__version__}.tar.gz",
    ]


def test_the_wheel_is_the_package_and_its_metadata(built: list[Path]) -> None:
    information = f"lrap_otel-{__version__}.dist-info"
    with zipfile.ZipFile(built[0]) as wheel:
        names = set(wheel.namelist())
        metadata = wheel.read(f"{information}/METADATA").decode()

    assert {name for name in names if not name.startswith(information)} == files_of_the_package()
    assert f"{information}/licenses/LICENSE" in names
    assert f"\nVersion: {__version__}\n" in metadata
    assert [
        line
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist") and "extra ==" not in line
    ] == []


def test_the_source_distribution_is_enough_to_build_the_wheel(
    built: list[Path], tmp_path: Path
) -> None:
    with tarfile.open(built[1]) as source:
        source.extractall(tmp_path, filter="data")
    again = distributions.build(tmp_path / f"lrap_otel-{__version__}", EPOCH_S, tmp_path / "dist")

    assert again[0].read_bytes() == built[0].read_bytes()


def test_a_tree_that_cannot_be_built_is_an_error_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")

    with pytest.raises(OSError, match=r"flit_core built no wheel: (.|\n)*version"):
        distributions.build(tmp_path, EPOCH_S, tmp_path / "dist")


def test_the_installed_command_says_its_version(installed: Path) -> None:
    done = run(installed, "--version")

    assert (done.returncode, done.stdout, done.stderr) == (0, f"lrap-otel {__version__}\n", "")


def test_the_packages_named_are_those_of_the_extras() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extra, packages in PACKAGES.items():
        (listed,) = re.findall(rf"^{extra} = \[(.*?)\]", project, re.MULTILINE)
        assert sorted(shlex.split(packages)) == sorted(re.findall(r'"([^"]+)"', listed))


@pytest.mark.parametrize(
    ("command", "extra"),
    [("emulate", "emulator"), ("invoke", "emulator"), ("instrument orders", "aws")],
)
def test_a_command_without_its_extra_says_what_to_install(
    installed: Path, command: str, extra: str
) -> None:
    done = run(installed, *command.split())

    assert done.returncode == 2
    assert remedy(extra) in done.stderr
    assert "Traceback" not in done.stderr


def test_the_installed_package_alone_emulates_a_function_with_the_extension(
    installed: Path, tmp_path: Path
) -> None:
    """The packages of the extra come from this environment; lrap_otel does not."""
    (tmp_path / "app.py").write_text("def handler(event, context): return 'installed'\n")
    (tmp_path / "event.json").write_text("{}")
    packages = next(path for path in sys.path if (Path(path) / "awslambdaric").is_dir())
    words = [
        "emulate",
        "app.handler",
        "--python",
        sys.executable,
        "--require-traces",
        "--event",
        "event.json",
    ]
    done = subprocess.run(
        [str(installed), *words],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": packages, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert 'returned    "installed"' in done.stdout
    assert "extension lrap-otel registered for INVOKE, SHUTDOWN" in done.stdout
    assert "function server" in done.stdout
