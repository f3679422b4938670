"""Checks of a deployed function that need AWS: its layer's versions, and its role's permissions.

Each look-up needs a permission of its own; without it the result is reported as unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lrap_otel.aws.doctor.checks import check, destinations, graded, references
from lrap_otel.aws.doctor.subject import Subject
from lrap_otel.aws.function import LayerVersion
from lrap_otel.aws.obstacles import MAX_UNZIPPED_BYTES, looks_like_edge, obstacle
from lrap_otel.aws.plan import is_ours
from lrap_otel.aws.session import code_of, errors_of_aws
from lrap_otel.telemetry.export.aws.answers import READ_ACTIONS
from lrap_otel.telemetry.variable_checks import (
    ERROR,
    NOTE,
    WARNING,
    Finding,
    aws_service,
    split_url,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lrap_otel.aws.function import Function
    from lrap_otel.aws.session import Account

# Unzipped, for both architectures: the limit that the build keeps.
LAYER_BYTES = 34_000_000
# What each of AWS's OTLP endpoints requires of the sender's role.
_ACTIONS = {
    "xray": ("xray:PutSpans", "xray:PutSpansForIndexing"),
    "monitoring": ("cloudwatch:PutMetricData",),
    "logs": ("logs:PutLogEvents",),
}


@dataclass(frozen=True)
class _Versions:
    """All versions of one layer, each with its architectures; `refusal` is AWS's reason if they are
    unknown.
    """

    architectures: Mapping[int, tuple[str, ...]]
    refusal: str = ""


class Doctor:
    """Checks deployed functions. What several of them share is looked up once."""

    def __init__(self, account: Account, other_name: str) -> None:
        self._account = account
        self._other_name = other_name
        self._versions: dict[str, _Versions] = {}
        self._search: dict[str, list[Finding]] = {}

    def examine(self, function: Function, *, is_named: bool) -> tuple[Subject, list[Finding]]:
        """All findings, the most severe first, except whether the endpoint can be reached."""
        subject = Subject.of(function, self._other_name, is_named=is_named)
        found = [*_check_state(function)]
        if any(finding.check == "edge" and finding.severity == ERROR for finding in found):
            return subject, found
        if subject.has_our_layer:
            found += self._check_version(function)
            subject = self._with_architectures(function, subject)
        found += [*check(subject), *_check_size(function, subject)]
        found += self._check_aws(function, subject)
        return subject, graded(found)

    def _check_version(self, function: Function) -> Iterator[Finding]:
        for arn in function.layers:
            if not is_ours(arn, self._other_name):
                continue
            layer = LayerVersion.parse(arn)
            versions = self._versions_of(layer, function)
            if versions.refusal:
                yield Finding(
                    "layer-version",
                    NOTE,
                    f"Whether there is a newer version of the layer is not known: "
                    f"{versions.refusal}.",
                    "lambda:ListLayerVersions is what it takes to look.",
                )
            elif (newest := max(versions.architectures, default=0)) > layer.version:
                yield Finding(
                    "layer-version",
                    NOTE,
                    f"It has version {layer.version} of the layer, and {newest} is the newest.",
                    "`lrap-otel instrument` puts the newest in its place.",
                )

    def _with_architectures(self, function: Function, subject: Subject) -> Subject:
        layers = list(subject.layers or ())
        for at, arn in enumerate(function.layers):
            if layers[at].is_ours:
                layer = LayerVersion.parse(arn)
                made_for = self._versions_of(layer, function).architectures.get(layer.version, ())
                layers[at] = replace(layers[at], architectures=made_for)
        return replace(subject, layers=tuple(layers))

    def _versions_of(self, layer: LayerVersion, function: Function) -> _Versions:
        if layer.layer_arn not in self._versions:
            is_own = layer.arn.split(":")[4] == function.arn.split(":")[4]
            self._versions[layer.layer_arn] = self._read_versions(
                layer, layer.name if is_own else layer.layer_arn
            )
        return self._versions[layer.layer_arn]

    def _read_versions(self, layer: LayerVersion, name: str) -> _Versions:
        try:
            pages = self._account.client(layer.region).get_paginator("list_layer_versions")
            found = [
                version
                for page in pages.paginate(LayerName=name)
                for version in page["LayerVersions"]
            ]
        except errors_of_aws() as error:
            return _Versions({}, _refusal(error))
        return _Versions(
            {each["Version"]: tuple(each.get("CompatibleArchitectures") or ()) for each in found}
        )

    def _check_aws(self, function: Function, subject: Subject) -> Iterator[Finding]:
        """The requirements of AWS's own endpoints, if telemetry is sent there."""
        hosts = {
            split_url(url)[1] for url in destinations(subject.variables, subject.unknown).values()
        }
        services = sorted({service for host in hosts if (service := aws_service(host))})
        if "xray" in services:
            yield from self._transaction_search(function.region)
        actions = [action for service in services for action in _ACTIONS[service]]
        if actions and function.role:
            yield from self._check_role(function, actions)
        if function.role:
            yield from self._check_secrets(function, subject)

    def _check_secrets(self, function: Function, subject: Subject) -> Iterator[Finding]:
        """Whether the function may read the secrets that its variables refer to."""
        for reference in references(subject.variables):
            action = READ_ACTIONS[reference.service]
            yield from self._check_role(function, [action], reference.arn)

    def _transaction_search(self, region: str) -> list[Finding]:
        if region not in self._search:
            self._search[region] = [*self._check_transaction_search(region)]
        return self._search[region]

    def _check_transaction_search(self, region: str) -> Iterator[Finding]:
        try:
            got = self._account.service("xray", region).get_trace_segment_destination()
        except errors_of_aws() as error:
            yield Finding(
                "transaction-search",
                NOTE,
                f"Whether Transaction Search is on in {region}, which X-Ray's endpoint needs, is "
                f"not known: {_refusal(error)}.",
                "xray:GetTraceSegmentDestination is what it takes to look.",
            )
            return
        if got.get("Destination") != "CloudWatchLogs":
            yield Finding(
                "transaction-search",
                ERROR,
                f"Transaction Search is off in {region}, and X-Ray's endpoint takes no spans "
                f"without it.",
                "Switch it on, once for the account and region: "
                "`aws xray update-trace-segment-destination --destination CloudWatchLogs`.",
            )
        elif got.get("Status") != "ACTIVE":
            yield Finding(
                "transaction-search",
                WARNING,
                f"Transaction Search is being switched on in {region}.",
                "Wait some minutes for it.",
            )

    def _check_role(
        self, function: Function, actions: list[str], resource: str = "*"
    ) -> Iterator[Finding]:
        role = function.role.rpartition("/")[2]
        try:
            got: Any = self._account.service("iam", function.region).simulate_principal_policy(
                PolicySourceArn=function.role, ActionNames=actions, ResourceArns=[resource]
            )
        except errors_of_aws() as error:
            yield Finding(
                "permission",
                NOTE,
                f"Whether the role {role} may {'send' if resource == '*' else f'read {resource}'} "
                f"is not known: "
                f"{_refusal(error)}.",
                f"iam:SimulatePrincipalPolicy is what it takes to look; the role needs "
                f"{', '.join(actions)}.",
            )
            return
        lacking = [
            result["EvalActionName"]
            for result in got["EvaluationResults"]
            if result["EvalDecision"] != "allowed"
        ]
        if lacking:
            consequence = (
                "without which AWS's endpoint refuses all that is sent"
                if resource == "*"
                else f"without which {resource} cannot be read and nothing is sent"
            )
            yield Finding(
                "permission",
                ERROR,
                f"The role {role} lacks {', '.join(lacking)}, {consequence}.",
                "Allow it in a policy of the role.",
            )


def _check_state(function: Function) -> Iterator[Finding]:
    """The function's state, besides its configuration."""
    if function.master_arn and function.master_arn != function.arn:
        yield Finding(
            "edge", ERROR, f"{_sentence(obstacle(function))}", "Nothing can be added to it."
        )
    elif looks_like_edge(function):
        yield Finding(
            "edge",
            NOTE,
            "Its role is one of Lambda@Edge, which takes neither layers nor variables: is it at "
            "the edge?",
            "Trace it at the origin if so.",
        )
    if function.environment_error:
        yield Finding(
            "variables-unreadable",
            WARNING,
            f"Its variables cannot be read ({function.environment_error}), so they are not "
            f"checked.",
            "kms:Decrypt with its key is what it takes.",
        )
    if function.update_status == "Failed":
        yield Finding(
            "last-update",
            WARNING,
            "Lambda could not carry out the last change of its configuration, and runs it as it "
            "was before.",
            "`aws lambda get-function` says why.",
        )


def _check_size(function: Function, subject: Subject) -> Iterator[Finding]:
    """Only zipped sizes are known. What does not fit zipped does not fit unzipped."""
    total = function.code_size + sum(function.layer_sizes)
    if (
        subject.has_our_layer is False
        and function.package_type == "Zip"
        and total + LAYER_BYTES > MAX_UNZIPPED_BYTES
    ):
        yield Finding(
            "too-large",
            ERROR if subject.is_named else NOTE,
            f"Code and layers take at least {total} of the {MAX_UNZIPPED_BYTES} bytes that Lambda "
            f"allows unzipped: there is "
            "no room for our layer.",
            "Make it smaller, or a container image.",
        )


def _refusal(error: Exception) -> str:
    return code_of(error) or type(error).__name__


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
