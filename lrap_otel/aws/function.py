"""A Lambda function's configuration, the part that these commands use, read through the API.

`instrument`, `uninstrument` and `doctor` all start from a `Function`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lrap_otel.aws.session import AwsError, code_of, errors_of_aws, explain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from types_boto3_lambda import LambdaClient

LAYER_NAME = "lrap-otel"

_LAYER_ARN = re.compile(
    r"arn:aws[a-z-]*:lambda:(?P<region>[a-z0-9-]+):\d{12}:layer:(?P<name>[A-Za-z0-9_-]+):(?P<version>\d+)"
)
_FUNCTION_ARN = re.compile(
    r"(?:arn:aws[a-z-]*:lambda:(?P<region>[a-z0-9-]+):)?\d{12}:function:(?P<name>[A-Za-z0-9_.-]+)(?::(?P<qualifier>[$A-Za-z0-9_-]+))?"
)
_FUNCTION_NAME = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)(?::(?P<qualifier>[$A-Za-z0-9_-]+))?")


class NotFoundError(AwsError):
    """The function does not exist, or was deleted."""


@dataclass(frozen=True)
class LayerVersion:
    """A layer's version from its ARN. Raises `AwsError` if the text is no such ARN."""

    arn: str
    region: str
    name: str
    version: int

    @classmethod
    def parse(cls, arn: str) -> LayerVersion:
        match = _LAYER_ARN.fullmatch(arn)
        if match is None:
            raise AwsError(
                f"{arn!r} is no ARN of a layer's version: "
                "arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION is what `make deploy` prints"
            )
        return cls(arn, match["region"], match["name"], int(match["version"]))

    @property
    def layer_arn(self) -> str:
        """The ARN without the version."""
        return self.arn.rpartition(":")[0]


def layer_name(arn: str) -> str:
    """The name in a layer version's ARN; empty if the text is something else."""
    match = _LAYER_ARN.fullmatch(arn)
    return match["name"] if match else ""


@dataclass(frozen=True)
class FunctionName:
    """A function as a user names it: by name, or by a full or partial ARN. `region` is empty if not
    given.
    """

    region: str
    name: str

    @classmethod
    def parse(cls, text: str) -> FunctionName:
        """Raises `AwsError` if the text is no function's name, or includes a version or
        an alias.
        """
        if ":web-function/" in text:
            raise AwsError(
                f"{text} is a Web Function: it has neither layers nor a wrapper, and cannot be "
                f"instrumented; "
                "put an OpenTelemetry SDK into its server"
            )
        match = _FUNCTION_ARN.fullmatch(text) or _FUNCTION_NAME.fullmatch(text)
        if match is None:
            raise AwsError(f"{text!r} is neither a function's name nor its ARN")
        if match["qualifier"] not in {None, "$LATEST"}:
            raise AwsError(
                f"{text}: a published version never changes; name the function without "
                f"`:{match['qualifier']}`, "
                "and add --publish or --alias to have a new version"
            )
        return cls(match.groupdict().get("region") or "", match["name"])


@dataclass(frozen=True)
class Function:
    """One function as it is now. Sizes are in bytes as AWS counts them (zipped), `memory_mb` in MB.

    `variables` contain secrets: they are not part of the representation, and only values that we
    set ourselves are ever printed.
    """

    region: str
    name: str
    arn: str
    runtime: str
    package_type: str
    architectures: tuple[str, ...]
    layers: tuple[str, ...]
    layer_sizes: tuple[int, ...]
    code_size: int
    variables: Mapping[str, str] = field(repr=False)
    environment_error: str
    revision_id: str
    role: str
    master_arn: str
    state: str
    update_status: str
    memory_mb: int
    tracing: str
    vpc_id: str
    has_snap_start: bool
    is_managed_instances: bool
    is_durable: bool
    tags: Mapping[str, str] = field(repr=False)
    tags_error: str = ""
    has_own_key: bool = False

    @classmethod
    def from_reply(cls, region: str, reply: Mapping[str, Any]) -> Function:
        """The function in ``GetFunction``'s reply. Missing members and nulls count as empty."""
        got: Mapping[str, Any] = reply["Configuration"]
        layers = got.get("Layers") or []
        environment = got.get("Environment") or {}
        return cls(
            region=region,
            name=got["FunctionName"],
            arn=_unqualified(got["FunctionArn"]),
            runtime=got.get("Runtime") or "",
            package_type=got.get("PackageType") or "Zip",
            architectures=tuple(got.get("Architectures") or ["x86_64"]),
            layers=tuple(layer["Arn"] for layer in layers),
            layer_sizes=tuple(layer.get("CodeSize") or 0 for layer in layers),
            code_size=got.get("CodeSize") or 0,
            variables=dict(environment.get("Variables") or {}),
            environment_error=(environment.get("Error") or {}).get("ErrorCode") or "",
            revision_id=got.get("RevisionId") or "",
            role=got.get("Role") or "",
            master_arn=_unqualified(got.get("MasterArn") or ""),
            state=got.get("State") or "",
            update_status=got.get("LastUpdateStatus") or "",
            memory_mb=got.get("MemorySize") or 0,
            tracing=(got.get("TracingConfig") or {}).get("Mode") or "",
            vpc_id=(got.get("VpcConfig") or {}).get("VpcId") or "",
            has_snap_start=(got.get("SnapStart") or {}).get("ApplyOn") == "PublishedVersions",
            is_managed_instances=bool(got.get("CapacityProviderConfig")),
            is_durable=bool(got.get("DurableConfig")),
            tags=dict(reply.get("Tags") or {}),
            tags_error=(reply.get("TagsError") or {}).get("Message") or "",
            has_own_key=bool(got.get("KMSKeyArn")),
        )


def read_function(client: LambdaClient, region: str, name: str) -> Function:
    """Read one function. Raises `NotFoundError` if it does not exist, `AwsError` for AWS's other
    errors.

    ``GetFunction`` allows 100 calls a second, the other reading calls 15 altogether.
    """
    try:
        return Function.from_reply(region, client.get_function(FunctionName=name))
    except errors_of_aws() as error:
        if code_of(error) == "ResourceNotFoundException":
            raise NotFoundError(
                f"there is no function {name} in {region}: is the region right? (Web Functions are "
                f"none of Lambda's)"
            ) from None
        raise AwsError(explain(error)) from None


def list_names(client: LambdaClient, prefix: str = "") -> Iterator[str]:
    """The names of a region's functions that start with `prefix`."""
    try:
        for page in client.get_paginator("list_functions").paginate():
            names = (function.get("FunctionName", "") for function in page.get("Functions", []))
            yield from (name for name in names if name.startswith(prefix))
    except errors_of_aws() as error:
        raise AwsError(explain(error)) from None


def _unqualified(arn: str) -> str:
    return ":".join(arn.split(":")[:7])
