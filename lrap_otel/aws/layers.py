"""Our layer in a region: find it, publish it, share it."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lrap_otel.aws.function import LayerVersion
from lrap_otel.aws.session import AwsError, code_of, errors_of_aws, explain

if TYPE_CHECKING:
    from pathlib import Path

    from types_boto3_lambda import LambdaClient

# The limit of a zip in the request. A larger one would have to be in S3; ours is never that large.
MAX_ZIP_BYTES = 52_428_800
LICENSE = "Apache-2.0"
MAX_DESCRIPTION = 256
_CONTENT = ("extensions/lrap-otel", "lrap-otel/wrapper")


@dataclass(frozen=True)
class LayerZip:
    """The file that `make layer` builds. Sizes in bytes; `sha256` in base64, as Lambda returns it.

    `description` is the first line of its version file: ``lrap-otel 1.2.3``.
    """

    content: bytes = field(repr=False)
    sha256: str
    unzipped_bytes: int
    description: str

    @classmethod
    def read(cls, path: Path) -> LayerZip:
        """Raises `AwsError` if the file does not exist or is not our layer."""
        try:
            content = path.read_bytes()
            with zipfile.ZipFile(path) as archive:
                unzipped = sum(entry.file_size for entry in archive.infolist())
                missing = {*_CONTENT} - {*archive.namelist()}
                description = "" if missing else _description(archive)
        except OSError as error:
            raise AwsError(
                f"cannot read the layer {path}: {error.strerror}; `make layer` builds it"
            ) from None
        except zipfile.BadZipFile:
            raise AwsError(f"{path} is no zip; `make layer` builds build/lrap-otel.zip") from None
        if missing:
            raise AwsError(
                f"{path} is not this layer: {', '.join(sorted(missing))} is missing; `make layer` "
                f"builds it"
            )
        if len(content) > MAX_ZIP_BYTES:
            raise AwsError(
                f"{path} has {len(content)} bytes, Lambda takes {MAX_ZIP_BYTES} at once; `make "
                f"layer` again"
            )
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        return cls(content, digest, unzipped, description)


def _description(archive: zipfile.ZipFile) -> str:
    try:
        text = archive.read("lrap-otel/VERSION").decode()
    except (KeyError, UnicodeDecodeError):
        return ""
    return text.partition("\n")[0].strip()[:MAX_DESCRIPTION]


@dataclass(frozen=True)
class Published:
    """A published version of the layer."""

    arn: str
    version: int
    sha256: str


def newest(client: LambdaClient, name: str) -> Published | None:
    """The account's newest version of the layer; None if there is none."""
    try:
        versions = client.list_layer_versions(LayerName=name).get("LayerVersions", [])
        highest = max((found["Version"] for found in versions), default=0)
        return read_version(client, name, highest) if highest else None
    except errors_of_aws() as error:
        if code_of(error) == "ResourceNotFoundException":
            return None
        raise AwsError(explain(error)) from None


def read_version(client: LambdaClient, name: str, version: int) -> Published:
    """One version. Raises botocore's error if it does not exist."""
    got = client.get_layer_version(LayerName=name, VersionNumber=version)
    return Published(got["LayerVersionArn"], got["Version"], got["Content"].get("CodeSha256", ""))


def publish(client: LambdaClient, name: str, layer: LayerZip) -> Published:
    """Publish the zip as the layer's next version."""
    try:
        got = client.publish_layer_version(
            LayerName=name,
            Description=layer.description,
            Content={"ZipFile": layer.content},
            CompatibleArchitectures=["x86_64", "arm64"],
            LicenseInfo=LICENSE,
        )
    except errors_of_aws() as error:
        raise AwsError(explain(error)) from None
    return Published(got["LayerVersionArn"], got["Version"], got["Content"].get("CodeSha256", ""))


def ensure(client: LambdaClient, name: str, layer: LayerZip) -> Published:
    """The newest version if it is this zip, byte for byte; else a new one."""
    found = newest(client, name)
    return found if found and found.sha256 == layer.sha256 else publish(client, name, layer)


def require(client: LambdaClient, arn: str) -> None:
    """Raises `AwsError` if the version does not exist or may not be used. Does nothing without the
    permission to look.
    """
    layer = LayerVersion.parse(arn)
    try:
        client.get_layer_version(LayerName=layer.layer_arn, VersionNumber=layer.version)
    except errors_of_aws() as error:
        if code_of(error) == "ResourceNotFoundException":
            raise AwsError(
                f"there is no layer {arn}; `make deploy` prints those that there are"
            ) from None
        if code_of(error) != "AccessDeniedException":
            raise AwsError(explain(error)) from None


def permit(client: LambdaClient, name: str, version: int, organization: str) -> None:
    """Allow an organization to use this version, or everybody if `organization` is empty."""
    whom = {"OrganizationId": organization} if organization else {}
    try:
        client.add_layer_version_permission(
            LayerName=name,
            VersionNumber=version,
            StatementId=organization or "public",
            Action="lambda:GetLayerVersion",
            Principal="*",
            **whom,
        )
    except errors_of_aws() as error:
        # It has this permission already.
        if code_of(error) != "ResourceConflictException":
            raise AwsError(f"published, but not shared: {explain(error)}") from None


def remove_version(client: LambdaClient, name: str, version: int) -> None:
    """Delete a version; functions that use it keep it."""
    try:
        client.delete_layer_version(LayerName=name, VersionNumber=version)
    except errors_of_aws() as error:
        raise AwsError(explain(error)) from None
