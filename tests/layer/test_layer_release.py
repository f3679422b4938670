"""A release, whole: what lies in dist/ is what it says, and the same as what was built before."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from lrap_otel import __version__
from opt.layer import archive
from opt.release import checks, distributions

ROOT = Path(__file__).parents[2]
NAME = f"lrap-otel-{__version__}"
WHEEL = f"lrap_otel-{__version__}-py3-none-any.whl"
SOURCE = f"lrap_otel-{__version__}.tar.gz"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    command = [sys.executable, "-m", "opt.release", "--allow-dirty"]
    places = ["--build", str(folder / "build"), "--dist", str(folder / "dist")]
    (folder / "dist").mkdir()
    (folder / "dist/of-an-older-release").touch()
    done = subprocess.run(
        [*command, *places], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Rotel" in done.stderr
    return folder / "dist"


def test_it_holds_what_a_release_has_and_nothing_older(dist: Path) -> None:
    assert {path.name for path in dist.iterdir()} == {
        f"{NAME}-layer.zip",
        f"{NAME}-image.tar",
        f"{NAME}.cdx.json",
        WHEEL,
        SOURCE,
        "NOTES.md",
        "SHA256SUMS",
        "sizes.json",
    }


def test_the_checksums_are_those_of_every_other_file(dist: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=dist,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(list(dist.iterdir())) - 1


def test_it_has_the_same_bytes_as_a_build_before_it(
    dist: Path, built: Path, tmp_path: Path
) -> None:
    assert (dist / f"{NAME}-layer.zip").read_bytes() == (built / "lrap-otel.zip").read_bytes()
    with tarfile.open(dist / f"{NAME}-image.tar") as packed:
        assert packed.extractfile("index.json").read() == (built / "image/index.json").read_bytes()
        assert {(each.mtime, each.uid, each.gid, each.uname) for each in packed} == {(0, 0, 0, "")}
    for path in distributions.build(ROOT, checks.commit_time_s(ROOT), tmp_path):
        assert path.read_bytes() == (dist / path.name).read_bytes()


def test_skopeo_reads_the_image_of_each_architecture(dist: Path) -> None:
    for architecture in ("amd64", "arm64"):
        done = subprocess.run(
            [
                "skopeo",
                f"--override-arch={architecture}",
                "inspect",
                f"oci-archive:{dist / f'{NAME}-image.tar'}:{__version__}",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout)["Architecture"] == architecture


def test_the_bill_of_materials_names_each_part_that_the_layer_says_it_has(dist: Path) -> None:
    text = (dist / f"{NAME}.cdx.json").read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    with zipfile.ZipFile(dist / f"{NAME}-layer.zip") as layer:
        lines = layer.read("lrap-otel/VERSION").decode().splitlines()[3:]
    of_the_layer = {tuple(line.split(" ")[:3]) for line in lines}
    listed = {
        (component["name"], component["version"], each["value"])
        for component in document["components"]
        for each in component["properties"]
        if each["name"] == "lrap-otel:architecture"
    }

    assert listed == of_the_layer
    assert {"libc6", "libssl3", "zlib1g", "libexpat1", "ca-certificates"} <= {
        name for name, _, _ in listed
    }
    assert all(component["hashes"][0]["alg"] == "SHA-256" for component in document["components"])
    assert not [
        each for each in document["components"] if "id" not in each["licenses"][0]["license"]
    ]
    digest = document["metadata"]["component"]["hashes"][0]["content"]
    assert digest == archive.checksum(dist / f"{NAME}-layer.zip")


def test_the_sizes_are_those_of_the_files_beside_others(dist: Path) -> None:
    sizes = json.loads((dist / "sizes.json").read_text())

    assert abs(sizes["layer"]["all"]["zipped"] - (dist / f"{NAME}-layer.zip").stat().st_size) < 100
    assert sizes["peers"]["Datadog's caps"] == {"unzipped": 54_000_000, "zipped": 27_000_000}


def test_a_release_that_is_refused_leaves_the_one_before(dist: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "opt.release", "--allow-dirty", "--tag=v0.0.0"]
    places = ["--build", str(tmp_path), "--dist", str(dist)]
    before = sorted(dist.iterdir())
    done = subprocess.run(
        [*command, *places], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr.startswith("error: the tag is v0.0.0 and the version ")
    assert sorted(dist.iterdir()) == before
