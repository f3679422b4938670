"""Services that no other value of ``faas.trigger`` fits (theirs is ``other``), but whose events
have more attributes.

An attribute of the conventions is used only in its own meaning. Secrets, tokens and signed URLs are
never read.
"""

from __future__ import annotations

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_list, as_object, as_text, parse_object
from lrap_otel.telemetry.triggers import times
from lrap_otel.telemetry.triggers.description import Description, Trigger
from lrap_otel.telemetry.triggers.events import arn_name, has, holds_records_of, records, shared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.telemetry.triggers.description import Event, Options


def _other(texts: dict[str, Any], made_s: float | None = None) -> Description:
    """The description with those of `texts` that are strings and not empty."""
    description = Description(
        semconv.TRIGGER_OTHER, {name: text for name, text in texts.items() if as_text(text)}
    )
    description.made_s = made_s
    return description


def _describe_bedrock_agent(event: Event, _options: Options) -> Description:
    agent = as_object(event.get("agent"))
    return _other(
        {
            semconv.GEN_AI_AGENT_ID: agent.get("id"),
            semconv.GEN_AI_AGENT_NAME: agent.get("name"),
            semconv.GEN_AI_AGENT_VERSION: agent.get("version"),
            semconv.GEN_AI_CONVERSATION_ID: event.get("sessionId"),
        }
    )


def _describe_s3_batch(event: Event, _options: Options) -> Description:
    tasks = [as_object(task) for task in as_list(event.get("tasks"))]
    buckets = [as_text(task.get("s3Bucket")) or arn_name(task.get("s3BucketArn")) for task in tasks]
    keys = [as_text(task.get("s3Key")) for task in tasks]
    return _other({semconv.AWS_S3_BUCKET: shared(buckets), semconv.AWS_S3_KEY: shared(keys)})


def _describe_codecommit(event: Event, _options: Options) -> Description:
    """One push, or several; the branch is described if there is only one."""
    found = records(event)
    references = [
        as_object(reference)
        for record in found
        for reference in as_list(as_object(record.get("codecommit")).get("references"))
    ]
    return _other(
        {
            semconv.VCS_REPOSITORY_NAME: shared(
                [arn_name(record.get("eventSourceARN")) for record in found]
            ),
            **_head(shared([as_text(reference.get("ref")) for reference in references])),
            semconv.VCS_REF_HEAD_REVISION: shared(
                [as_text(reference.get("commit")) for reference in references]
            ),
        },
        times.oldest(times.from_iso(record.get("eventTime")) for record in found),
    )


def _head(reference: str) -> dict[str, str]:
    """``main`` of ``refs/heads/main``, ``1.0`` of ``refs/tags/1.0``."""
    for prefix, kind in (("refs/heads/", semconv.REF_BRANCH), ("refs/tags/", semconv.REF_TAG)):
        if reference.startswith(prefix):
            return {
                semconv.VCS_REF_HEAD_NAME: reference.removeprefix(prefix),
                semconv.VCS_REF_HEAD_TYPE: kind,
            }
    return {}


def _describe_rotation(event: Event, _options: Options) -> Description:
    return _other({semconv.AWS_SECRETSMANAGER_SECRET_ARN: event.get("SecretId")})


def _describe_config_rule(event: Event, _options: Options) -> Description:
    change = parse_object(as_text(event.get("invokingEvent")))
    return _other({}, times.from_iso(change.get("notificationCreationTime")))


def _describe_destination(event: Event, _options: Options) -> Description:
    return _other({}, times.from_iso(event.get("timestamp")))


def _describe_mail(event: Event, _options: Options) -> Description:
    mails = [as_object(as_object(record.get("ses")).get("mail")) for record in records(event)]
    return _other({}, times.oldest(times.from_iso(mail.get("timestamp")) for mail in mails))


def _describe_iot_click(event: Event, _options: Options) -> Description:
    clicked = as_object(as_object(event.get("deviceEvent")).get("buttonClicked"))
    return _other({}, times.from_iso(clicked.get("reportedTime")))


TRIGGERS = (
    Trigger("bedrock_agent", "agent", has("actionGroup"), _describe_bedrock_agent),
    Trigger("s3_batch", "tasks", has("invocationSchemaVersion"), _describe_s3_batch),
    Trigger("codecommit", "Records", holds_records_of("aws:codecommit"), _describe_codecommit),
    Trigger("secrets_manager", "SecretId", has("ClientRequestToken", "Step"), _describe_rotation),
    Trigger("config", "configRuleName", has("invokingEvent"), _describe_config_rule),
    Trigger("ses", "Records", holds_records_of("aws:ses"), _describe_mail),
    Trigger("lambda_destination", "requestPayload", has("responseContext"), _describe_destination),
    Trigger("iot_1_click", "deviceEvent", has("deviceInfo"), _describe_iot_click),
)
