"""The resource: attributes of the function and the sandbox, made once from the environment, the
register reply and the wrapper's hand-over.

Sources: OpenTelemetry, "AWS Lambda", "Resource detector"; "Resource SDK", "Specifying resource
information via an environment variable".
"""

from posix import urandom

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.otlp.wire import Resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.ipc.records import Runtime, Started
    from lrap_otel.telemetry.semconv import Attributes
    from lrap_otel.telemetry.settings import ExportSettings

_BYTES_PER_MB = 1_048_576


def build_resource(
    settings: "ExportSettings", started: "Started | None", runtime: "Runtime | None"
) -> Resource:
    """A resource with a new ``service.instance.id``. Attributes that the user sets replace ours.

    `started` and `runtime` are None if that record has not come.
    """
    attributes: Attributes = {
        semconv.CLOUD_PROVIDER: "aws",
        semconv.CLOUD_PLATFORM: "aws_lambda",
        semconv.TELEMETRY_SDK_NAME: semconv.SCOPE_NAME,
        semconv.TELEMETRY_SDK_LANGUAGE: "python",
        semconv.TELEMETRY_SDK_VERSION: semconv.SCOPE_VERSION,
        semconv.TELEMETRY_DISTRO_NAME: semconv.SCOPE_NAME,
        semconv.TELEMETRY_DISTRO_VERSION: semconv.SCOPE_VERSION,
        semconv.SERVICE_INSTANCE_ID: _random_uuid(),
    }
    attributes.update(_function(settings, started))
    attributes.update(_log_stream(settings, runtime))
    attributes.update(settings.resource_attributes)
    if settings.service_name:
        attributes[semconv.SERVICE_NAME] = settings.service_name
    return Resource(attributes, semconv.SCHEMA_URL)


def _random_uuid() -> str:
    """A UUID, version 4 of RFC 9562."""
    digits = urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def _function(settings: "ExportSettings", started: "Started | None") -> "Attributes":
    name = settings.function_name or (started.function_name if started else "")
    found: Attributes = {
        semconv.FAAS_NAME: name,
        semconv.SERVICE_NAME: name or "unknown_service",
        semconv.FAAS_VERSION: settings.function_version
        or (started.function_version if started else ""),
        semconv.CLOUD_REGION: settings.region,
        semconv.CLOUD_ACCOUNT_ID: (started.account_id or "") if started else "",
        semconv.FAAS_MAX_MEMORY: settings.function_memory_mb * _BYTES_PER_MB,
    }
    return {name: value for name, value in found.items() if value}


def _log_stream(settings: "ExportSettings", runtime: "Runtime | None") -> "Attributes":
    """Attributes of the log group and stream, which Lambda gives to runtimes alone; the environment
    may have them if somebody passed them on.
    """
    group = (runtime.log_group if runtime else "") or settings.log_group
    stream = (runtime.log_stream if runtime else "") or settings.log_stream
    attributes: Attributes = {}
    if group:
        attributes[semconv.AWS_LOG_GROUP_NAMES] = [group]
    if stream:
        attributes[semconv.AWS_LOG_STREAM_NAMES] = [stream]
        attributes[semconv.FAAS_INSTANCE] = stream
    if runtime and runtime.execution_env:
        attributes[semconv.LRAP_EXECUTION_ENV] = runtime.execution_env
    return attributes
