"""Services that can be named and no more: the conventions have no attributes for their events."""

from __future__ import annotations

from lrap_otel.telemetry.triggers.description import Trigger, unknown
from lrap_otel.telemetry.triggers.events import has

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.telemetry.triggers.description import Description, Event, Options


def _is_lex(event: Event) -> bool:
    # Its second version and its first.
    return "sessionState" in event or "currentIntent" in event


def _describe(_event: Event, _options: Options) -> Description:
    return unknown()


TRIGGERS = (
    Trigger("cognito_user_pool", "userPoolId", has("triggerSource"), _describe),
    Trigger("cognito_sync", "datasetName", has("identityPoolId"), _describe),
    Trigger("lex", "bot", _is_lex, _describe),
    Trigger("connect", "Name", has("Details"), _describe),
    Trigger("s3_object_lambda", "xAmzRequestId", has("userRequest"), _describe),
    Trigger("codepipeline", "CodePipeline.job", has(), _describe),
    Trigger("cloudformation", "RequestType", has("ResponseURL", "StackId"), _describe),
    Trigger("kinesis_analytics", "applicationArn", has("records"), _describe),
    Trigger("iot_button", "serialNumber", has("clickType"), _describe),
    Trigger("iot_authorizer", "protocolData", has("connectionMetadata"), _describe),
    Trigger("iot_provisioning", "claimCertificateId", has("templateArn"), _describe),
    Trigger("client_vpn", "connection-id", has("endpoint-id"), _describe),
)
