"""``lrap-otel deploy`` and ``make deploy``: the layer in every region, with the same number."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.aws.conftest import LAYER, refusal

if TYPE_CHECKING:
    from tests.aws.conftest import Answer, Aws

ROOT = Path(__file__).parents[2]
DEPLOY = ["deploy", "--zip", "lrap-otel.zip"]
REGIONS = ["eu-west-1", "us-east-1", "ap-northeast-3"]
ALL = ["--region", ",".join(REGIONS)]


def arn(region: str, version: int, name: str = "lrap-otel") -> str:
    return f"arn:aws:lambda:{region}:123456789012:layer:{name}:{version}"


def test_every_region_has_the_layer_and_its_arn_is_printed(aws: Aws) -> None:
    done = aws.run(*DEPLOY, *ALL)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"eu-west-1          1  {arn('eu-west-1', 1)}",
        f"us-east-1          1  {arn('us-east-1', 1)}",
        f"ap-northeast-3     1  {arn('ap-northeast-3', 1)}",
        "version 1 wherever it was published",
    ]
    sha256 = base64.b64encode(hashlib.sha256(LAYER).digest()).decode()
    for region in REGIONS:
        got = aws.client(region=region).get_layer_version(LayerName="lrap-otel", VersionNumber=1)
        assert got["Content"]["CodeSha256"] == sha256
        assert got["CompatibleArchitectures"] == ["x86_64", "arm64"]
        assert got["LicenseInfo"] == "Apache-2.0"
        assert got["Description"] == "lrap-otel 9.8.7"


def test_the_same_zip_is_not_published_twice_and_a_new_one_is(aws: Aws) -> None:
    assert aws.run(*DEPLOY).returncode == 0
    assert arn("eu-west-1", 1) in aws.run(*DEPLOY).stdout
    aws.layer()
    assert arn("eu-west-1", 3) in aws.run(*DEPLOY).stdout


def test_a_region_whose_number_lags_is_named_and_aligned_when_asked(aws: Aws) -> None:
    for _ in range(3):
        aws.layer(region="us-east-1")
    lagging = aws.run(*DEPLOY, *ALL)
    assert lagging.returncode == 0
    assert "eu-west-1, ap-northeast-3 lag behind 4 (--align)" in lagging.stdout

    aligned = aws.run(*DEPLOY, *ALL, "--align", "--json")
    assert aligned.returncode == 0
    assert [(row["region"], row["arn"], row["error"]) for row in json.loads(aligned.stdout)] == [
        (region, arn(region, 4), "") for region in REGIONS
    ]
    # What was published in between is removed; version 1 may be in use.
    versions = aws.client(region="eu-west-1").list_layer_versions(LayerName="lrap-otel")[
        "LayerVersions"
    ]
    assert [version["Version"] for version in versions] == [4, 1]


def test_the_aligning_is_bounded(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrap_otel.aws.deploy.MAX_ALIGNMENT", 2)
    for _ in range(3):
        aws.layer(region="us-east-1")
    done = aws.run(*DEPLOY, *ALL, "--align")
    assert done.returncode == 1
    assert "too far to align" in done.stdout
    assert arn("us-east-1", 4) in done.stdout


def test_a_region_that_fails_is_named_and_the_others_have_it(aws: Aws) -> None:
    def rule(method: str, path: str, body: bytes) -> Answer | None:
        if method == "POST" and b'"lrap-otel' in body and not failed:
            failed.append(path)
            return refusal(
                403,
                "AccessDeniedException",
                "not authorized to perform: lambda:PublishLayerVersion",
            )
        return None

    failed: list[str] = []
    aws.proxy.rules.append(rule)
    done = aws.run(*DEPLOY, *ALL)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert sum("failed: " in line and "lambda:PublishLayerVersion" in line for line in lines) == 1
    assert sum("layer:lrap-otel:1" in line for line in lines) == 2


def test_what_lambda_has_afterwards_is_checked(aws: Aws) -> None:
    def edit(method: str, path: str, document: dict[str, object]) -> None:
        if method == "GET" and path.endswith("/versions/1"):
            document["Content"] = {"CodeSha256": "another", "Location": "x"}

    aws.proxy.edits.append(edit)
    done = aws.run(*DEPLOY)
    assert done.returncode == 1
    assert "is not this zip" in done.stdout


@pytest.mark.parametrize(
    ("options", "condition"),
    [(["--public"], None), (["--organization", "o-a1b2c3d4e5"], "o-a1b2c3d4e5")],
)
def test_it_can_be_shared_with_all_or_an_organization(
    aws: Aws, options: list[str], condition: str | None
) -> None:
    given: list[dict[str, str]] = []

    def rule(method: str, path: str, body: bytes) -> Answer | None:
        if method == "POST" and path.endswith("/policy"):
            given.append(json.loads(body))
        return None

    aws.proxy.rules.append(rule)
    assert aws.run(*DEPLOY, *options).returncode == 0
    assert given[0]["Principal"] == "*"
    assert given[0]["Action"] == "lambda:GetLayerVersion"
    assert given[0].get("OrganizationId") == condition
    policy = aws.client().get_layer_version_policy(LayerName="lrap-otel", VersionNumber=1)
    assert "lambda:GetLayerVersion" in policy["Policy"]

    aws.proxy.rules[:] = [lambda method, path, body: again if path.endswith("/policy") else None]
    again = refusal(409, "ResourceConflictException", "The statement id provided already exists")
    assert aws.run(*DEPLOY, *options).returncode == 0
    again = refusal(403, "AccessDeniedException", "not authorized")
    not_shared = aws.run(*DEPLOY, *options)
    assert not_shared.returncode == 1
    assert "published, but not shared" in not_shared.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--zip", "nothing.zip"], "`make layer` builds it"),
        (["--organization", "acme"], "o-a1b2c3d4e5"),
        (["--public", "--organization", "o-a1b2c3d4e5"], "not allowed with"),
    ],
)
def test_what_cannot_be_meant_is_said(aws: Aws, arguments: list[str], says: str) -> None:
    done = aws.run(*DEPLOY, *arguments)
    assert done.returncode == 2
    assert says in done.stderr


def test_without_a_region_it_is_said_how_to_name_some(aws: Aws) -> None:
    done = aws.run(*DEPLOY, AWS_REGION="")
    assert done.returncode == 2
    assert 'make deploy REGIONS="eu-west-1 us-east-1"' in done.stderr


def test_make_deploy_publishes_to_its_regions(aws: Aws) -> None:
    make = subprocess.run(
        [
            "make",
            "-s",
            "-n",
            "-C",
            ROOT,
            "deploy",
            "REGIONS=eu-west-1 us-east-1",
            "PUBLIC=1",
            "ALIGN=1",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    line = next(line for line in make.stdout.splitlines() if "deploy" in line)
    assert line.split()[1:] == [
        "deploy",
        *["--region", "eu-west-1", "--region", "us-east-1", "--public", "--align"],
    ]
    done = aws.run(*line.split()[1:], "--zip", "lrap-otel.zip")
    assert done.returncode == 0, done.stderr
    assert arn("us-east-1", 1) in done.stdout
