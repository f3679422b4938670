"""The bill of materials is CycloneDX, and names what is in the layer as scanners look for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from opt.layer.sources import Part
from opt.release import sbom
from opt.release.sbom import Distribution

DEBIAN = Distribution("debian", "12")
EPOCH_S = 1_700_000_000
LAYER_SHA256 = "0f" * 32


def debian(name: str, version: str, architecture: str, source: str, sha256: str) -> Part:
    return Part(name, version, architecture, f"Debian source package {source}", sha256, None)


PARTS = (
    debian("python3.11-minimal", "3.11.2-6+deb12u9", "x86_64", "python3.11", "aa" * 32),
    debian("libpython3.11-stdlib", "3.11.2-6+deb12u9", "x86_64", "python3.11", "ab" * 32),
    debian("libc6", "2.36-9+deb12u14", "x86_64", "glibc", "ac" * 32),
    debian("libssl3", "3.0.22-1~deb12u2", "aarch64", "openssl", "ad" * 32),
    debian("zlib1g", "1:1.2.13.dfsg-1", "x86_64", "zlib", "ae" * 32),
    debian("zlib1g", "1:1.2.13.dfsg-1", "aarch64", "zlib", "af" * 32),
    debian("ca-certificates", "20250419~deb12u2", "x86_64", "ca-certificates", "b0" * 32),
    debian("ca-certificates", "20250419~deb12u2", "aarch64", "ca-certificates", "b0" * 32),
)


def bill(*parts: Part, distribution: Distribution = DEBIAN) -> dict[str, Any]:
    return sbom.bill(parts, "1.2.3", LAYER_SHA256, EPOCH_S, distribution)


def by_purl(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {component["purl"]: component for component in document["components"]}


@pytest.mark.parametrize(
    "parts",
    [
        PARTS,
        (),
        (Part("python", "3.13", "x86_64", "the folder my root", "", None),),
        (
            Part(
                "python-build-standalone",
                "cpython-3.13.1-linux-x86_64-gnu",
                "x86_64",
                "python-build-standalone",
                "",
                None,
            ),
        ),
    ],
    ids=["debian", "nothing", "folder", "uv"],
)
def test_it_is_valid_cyclonedx_1_6(parts: tuple[Part, ...]) -> None:
    document = bill(*parts)

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None
    assert document["specVersion"] == "1.6"
    for component in document["components"]:
        assert PackageURL.from_string(component["purl"]).to_string() == component["purl"]


def test_each_archive_is_a_component_once_as_its_distribution_names_it() -> None:
    assert by_purl(bill(*PARTS)).keys() == {
        "pkg:deb/debian/python3.11-minimal@3.11.2-6%2Bdeb12u9?arch=amd64&distro=debian-12",
        "pkg:deb/debian/libpython3.11-stdlib@3.11.2-6%2Bdeb12u9?arch=amd64&distro=debian-12",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64&distro=debian-12",
        "pkg:deb/debian/libssl3@3.0.22-1~deb12u2?arch=arm64&distro=debian-12",
        "pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?arch=amd64&distro=debian-12",
        "pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?arch=arm64&distro=debian-12",
        # One archive, for both.
        "pkg:deb/debian/ca-certificates@20250419~deb12u2?arch=all&distro=debian-12",
    }


def test_a_component_has_its_version_archive_licence_architecture_and_origin() -> None:
    found = by_purl(bill(*PARTS))[
        "pkg:deb/debian/libssl3@3.0.22-1~deb12u2?arch=arm64&distro=debian-12"
    ]

    assert (found["name"], found["version"]) == ("libssl3", "3.0.22-1~deb12u2")
    assert found["hashes"] == [{"alg": "SHA-256", "content": "ad" * 32}]
    assert found["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert {each["name"]: each["value"] for each in found["properties"]} == {
        "lrap-otel:architecture": "aarch64",
        "lrap-otel:origin": "Debian source package openssl",
    }


def test_every_licence_of_the_usual_layer_is_known() -> None:
    licences = {
        each["name"]: each["licenses"][0]["license"]["id"] for each in bill(*PARTS)["components"]
    }

    assert licences == {
        "ca-certificates": "MPL-2.0",
        "libc6": "LGPL-2.1-or-later",
        "libpython3.11-stdlib": "Python-2.0.1",
        "libssl3": "Apache-2.0",
        "python3.11-minimal": "Python-2.0.1",
        "zlib1g": "Zlib",
    }


def test_a_licence_that_is_not_known_is_named_by_its_text_in_the_layer() -> None:
    document = bill(debian("liblzma5", "5.4.1-1", "x86_64", "xz-utils", "cc" * 32))

    assert document["components"][0]["licenses"] == [
        {"license": {"name": "lrap-otel/licenses/xz-utils in the layer"}}
    ]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None


def test_the_subject_is_the_layer_and_depends_on_all_that_is_in_it() -> None:
    document = bill(*PARTS)
    subject = document["metadata"]["component"]

    assert (subject["name"], subject["version"], subject["hashes"][0]["content"]) == (
        "lrap-otel",
        "1.2.3",
        LAYER_SHA256,
    )
    assert document["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    assert document["dependencies"][0] == {
        "ref": subject["bom-ref"],
        "dependsOn": list(by_purl(document)),
    }


def test_the_same_parts_make_the_same_document_and_others_another_serial_number() -> None:
    assert bill(*PARTS) == bill(*reversed(PARTS))
    assert bill(*PARTS)["serialNumber"] != bill(*PARTS[1:])["serialNumber"]


def test_it_says_whether_every_library_is_named() -> None:
    aggregates = [
        document["compositions"][0]["aggregate"]
        for document in (
            bill(*PARTS),
            bill(*PARTS, Part("python", "3.13", "x86_64", "the folder root", "", None)),
        )
    ]

    assert aggregates == ["complete", "incomplete"]


def test_another_distribution_than_debian_is_named() -> None:
    document = bill(PARTS[2], distribution=Distribution("ubuntu", "24.04"))

    assert list(by_purl(document)) == [
        "pkg:deb/ubuntu/libc6@2.36-9%2Bdeb12u14?arch=amd64&distro=ubuntu-24.04"
    ]
    assert list(by_purl(bill(PARTS[2], distribution=Distribution("debian", "")))) == [
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64"
    ]
