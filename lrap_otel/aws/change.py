"""Carry out one function's plan, even while others change the function."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrap_otel.aws.function import NotFoundError, read_function
from lrap_otel.aws.session import AwsError, code_of, errors_of_aws, explain

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_lambda import LambdaClient
    from types_boto3_lambda.type_defs import WaiterConfigTypeDef

    from lrap_otel.aws.function import Function
    from lrap_otel.aws.plan import Plan

# Attempts at a function that others keep changing; each starts from its newest configuration.
ATTEMPTS = 8
LONGEST_PAUSE_S = 20.0
# Seconds of waiting: Lambda takes a few, with SnapStart or Managed Instances minutes.
WAIT: WaiterConfigTypeDef = {"Delay": 1, "MaxAttempts": 900}

_IN_CONFLICT = {"ResourceConflictException", "PreconditionFailedException"}


@dataclass(frozen=True)
class Outcome:
    """The outcome for one function: `status` is ``changed``, ``unchanged``, ``refused``, ``gone``
    or ``failed``.
    """

    status: str
    region: str
    name: str
    plan: Plan | None = None
    reason: str = ""
    version: str = ""


@dataclass(frozen=True)
class Publication:
    """Whether a version of each function is published, and the alias that then points to it, if
    any.
    """

    wanted: bool = False
    alias: str = ""


def carry_out(
    client: LambdaClient,
    function: Function,
    plan_for: Callable[[Function], Plan],
    remember: Callable[[Plan], None],
    publication: Publication,
) -> Outcome:
    """Change the function, wait until Lambda has applied it, publish a version if wanted.

    The change applies to the revision that was read. If somebody else changed the function in
    between, it is read and planned again. `remember` is called with each plan before it is carried
    out.
    """
    try:
        return _carry_out(client, function, plan_for, remember, publication)
    except NotFoundError:
        return Outcome(
            "gone", function.region, function.name, reason="deleted meanwhile; nothing left to do"
        )
    except AwsError as error:
        return Outcome("failed", function.region, function.name, reason=str(error))


def _carry_out(
    client: LambdaClient,
    function: Function,
    plan_for: Callable[[Function], Plan],
    remember: Callable[[Plan], None],
    publication: Publication,
) -> Outcome:
    region, name = function.region, function.name
    for attempt in range(ATTEMPTS):
        plan = plan_for(function)
        if plan.refusal:
            return Outcome("refused", region, name, plan, plan.refusal)
        if not plan.changes:
            version = _publish(client, function, publication)
            return Outcome("unchanged", region, name, plan, version=version)
        remember(plan)
        try:
            client.update_function_configuration(**_update(plan))
        except errors_of_aws() as error:
            if code_of(error) not in _IN_CONFLICT:
                raise _understood(error, plan) from None
            time.sleep(min(2**attempt, LONGEST_PAUSE_S) * random.uniform(0.25, 0.75))  # noqa: S311 - a pause, not a secret
            _wait(client, plan)
            function = read_function(client, region, name)
            continue
        _wait(client, plan)
        version = _publish(client, function, publication)
        return Outcome("changed", region, name, plan, version=version)
    raise AwsError(
        f"somebody else has been changing it, {ATTEMPTS} times in turn; run this again later"
    )


def _update(plan: Plan) -> Any:
    arguments: dict[str, Any] = {"FunctionName": plan.function.name}
    if plan.function.revision_id:
        arguments["RevisionId"] = plan.function.revision_id
    if plan.changes_layers:
        arguments["Layers"] = list(plan.layers)
    if plan.changes_variables:
        arguments["Environment"] = {"Variables": dict(plan.variables)}
    return arguments


def _wait(client: LambdaClient, plan: Plan) -> None:
    """Wait until Lambda has applied the last change of this function, by whomever."""
    try:
        client.get_waiter("function_updated_v2").wait(
            FunctionName=plan.function.name, WaiterConfig=WAIT
        )
    except errors_of_aws() as error:
        answer: Any = getattr(error, "last_response", None) or {}
        reason = (answer.get("Configuration") or {}).get("LastUpdateStatusReason")
        if not reason:
            raise _understood(error, plan) from None
        text = _without_values(reason, plan)
        raise AwsError(
            f"Lambda took the change, then failed: {text}; `lrap-otel uninstrument` takes it back"
        ) from None


def _publish(client: LambdaClient, function: Function, publication: Publication) -> str:
    """Publish a version and point the alias to it. Returns the version, empty if none is wanted.

    If nothing has changed, Lambda publishes none and returns the last version.
    """
    if not publication.wanted:
        return ""
    try:
        version = client.publish_version(FunctionName=function.name)["Version"]
    except errors_of_aws() as error:
        raise AwsError(f"configured, yet no version is published: {explain(error)}") from None
    if publication.alias:
        try:
            client.get_waiter("published_version_active").wait(
                FunctionName=function.name, Qualifier=version, WaiterConfig=WAIT
            )
            _move_alias(client, function.name, publication.alias, version)
        except errors_of_aws() as error:
            raise AwsError(
                f"version {version} is published, yet the alias {publication.alias} is not moved: "
                f"{explain(error)}"
            ) from None
    return version


def _move_alias(client: LambdaClient, name: str, alias: str, version: str) -> None:
    current = client.get_alias(FunctionName=name, Name=alias)
    if current.get("RoutingConfig", {}).get("AdditionalVersionWeights"):
        raise AwsError(
            f"version {version} is published; the alias {alias} shares its traffic between "
            f"versions and is left alone: "
            "move it with your deployment tool"
        )
    if current["FunctionVersion"] != version:
        client.update_alias(
            FunctionName=name,
            Name=alias,
            FunctionVersion=version,
            RevisionId=current.get("RevisionId", ""),
        )


def _understood(error: Exception, plan: Plan) -> AwsError:
    if code_of(error) == "ResourceNotFoundException" and "layer" not in str(error).lower():
        return NotFoundError(plan.function.name)
    return AwsError(_without_values(explain(error), plan))


def _without_values(text: str, plan: Plan) -> str:
    """AWS's text without the values of variables, which it repeats if they are too large."""
    text = text.partition("String measured:")[0]
    values = {*plan.function.variables.values(), *plan.variables.values()}
    for value in sorted((value for value in values if len(value) > 3), key=len, reverse=True):
        text = text.replace(value, "***")
    return text.strip()
