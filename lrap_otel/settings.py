"""Every environment variable that we read: its name, unit, default and bounds.

Loaded before the extension registers, so this file imports nothing and classes are plain. A value that cannot be used
gives one warning and the default; an empty one counts as unset (OpenTelemetry's rule).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    T = TypeVar("T")

MANAGED_INSTANCES = "lambda-managed-instances"

PROPAGATORS = ("tracecontext", "baggage", "b3", "b3multi", "xray", "xray-lambda", "none")
SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
LOG_LEVELS = ("info", "warning", "error")


class Environment:
    """The variables of one process, read by kind; `warnings` collects what could not be used."""

    __slots__ = ("_variables", "warnings")

    def __init__(self, variables: "Mapping[bytes, bytes]") -> None:
        self._variables = variables
        self.warnings: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        """The value as it stands; `default` where it is unset or empty."""
        return self._variables.get(name.encode(), b"").decode("utf-8", "surrogateescape").strip() or default

    def flag(self, name: str, default: bool) -> bool:
        """``true`` or ``false``, in any case."""
        return self._parsed(name, default, _flag)

    def number(self, name: str, default: int, lowest: int, highest: int) -> int:
        """A whole number within bounds that are both allowed."""
        return self._parsed(name, default, lambda text: _within(int(text), lowest, highest))

    def one_of(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """One of `choices`, in any case."""
        return self._parsed(name, default, lambda text: choices[choices.index(text.lower())])

    def several_of(self, name: str, default: tuple[str, ...], choices: tuple[str, ...]) -> tuple[str, ...]:
        """A comma-separated list; what is not of `choices` is left out with a warning (OpenTelemetry's rule)."""
        names = [part.strip().lower() for part in self.text(name).split(",") if part.strip()]
        for unknown in (part for part in names if part not in choices):
            self.warnings.append(f"{name}: {unknown!r} is not one of {', '.join(choices)}; it is ignored")
        return tuple(part for part in names if part in choices) or default

    def address(self, name: str, default: tuple[str, int] | None) -> tuple[str, int] | None:
        """``host:port``."""
        return self._parsed(name, default, _address)

    def url(self, name: str, default: str) -> str:
        """An ``http`` or ``https`` address. It may hold a password, so the warning does not repeat it."""
        text = self.text(name)
        if not text or _is_url(text):
            return text or default
        self.warnings.append(f"{name} is no http:// or https:// address; the default is used instead")
        return default

    def _parsed(self, name: str, default: "T", parse: "Callable[[str], T]") -> "T":
        text = self.text(name)
        if not text:
            return default
        try:
            return parse(text)
        except ValueError:
            self.warnings.append(f"{name}={text!r} cannot be used; {default!r} is used instead")
            return default


class Settings:
    """What the proxy process needs."""

    __slots__ = (
        "environment",
        "export_enabled",
        "extension_name",
        "extensions_api",
        "flush_budget_ms",
        "is_managed_instances",
        "listener_port",
        "log_level",
        "propagators",
        "runtime_api",
        "sampler",
        "sampler_argument",
        "scan_limit_bytes",
        "xray_header",
    )

    def __init__(self, variables: "Mapping[bytes, bytes]") -> None:
        read = self.environment = Environment(variables)
        self.extensions_api = read.address("AWS_LAMBDA_RUNTIME_API", None)
        self.runtime_api = read.address("LRAP_RUNTIME_API_ENDPOINT", self.extensions_api)
        self.listener_port = read.number("LRAP_LISTENER_PORT", 9009, 1, 65_535)
        self.extension_name = read.text("LRAP_EXTENSION_NAME", "lrap-otel")
        self.is_managed_instances = read.text("AWS_LAMBDA_INITIALIZATION_TYPE") == MANAGED_INSTANCES
        self.export_enabled = read.flag("LRAP_ENABLED", default=True) and not read.flag(
            "OTEL_SDK_DISABLED", default=False
        )
        self.flush_budget_ms = read.number("LRAP_FLUSH_BUDGET_MS", 500, 0, 900_000)
        self.log_level = read.one_of("LRAP_LOG_LEVEL", "warning", LOG_LEVELS)
        self.propagators = read.several_of("OTEL_PROPAGATORS", ("tracecontext", "baggage"), PROPAGATORS)
        self.sampler = read.one_of("OTEL_TRACES_SAMPLER", "parentbased_always_on", SAMPLERS)
        self.sampler_argument = read.text("OTEL_TRACES_SAMPLER_ARG")
        self.xray_header = read.one_of("LRAP_XRAY_HEADER", "auto", ("auto", "always", "never"))
        self.scan_limit_bytes = read.number("LRAP_SCAN_LIMIT_BYTES", 2_097_152, 0, 6_291_556)

    @property
    def warnings(self) -> list[str]:
        return self.environment.warnings


class SignalSettings:
    """Where one signal goes: `signal` is ``TRACES`` or ``METRICS``. Its own variable comes before the common one."""

    __slots__ = (
        "certificate",
        "client_certificate",
        "client_key",
        "compression",
        "enabled",
        "headers",
        "timeout_ms",
        "url",
    )

    def __init__(self, read: Environment, signal: str) -> None:
        def own_or_common(name: str) -> str:
            own = f"OTEL_EXPORTER_OTLP_{signal}_{name}"
            return own if read.text(own) else f"OTEL_EXPORTER_OTLP_{name}"

        self.enabled = read.one_of(f"OTEL_{signal}_EXPORTER", "otlp", ("otlp", "none")) == "otlp"
        common_url = read.url("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
        self.url = read.url(
            f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", f"{common_url.removesuffix('/')}/v1/{signal.lower()}"
        )
        read.one_of(own_or_common("PROTOCOL"), "http/protobuf", ("http/protobuf",))
        self.headers = read.text(own_or_common("HEADERS"))
        self.timeout_ms = read.number(own_or_common("TIMEOUT"), 10_000, 1, 900_000)
        self.compression = read.one_of(own_or_common("COMPRESSION"), "none", ("none", "gzip"))
        self.certificate = read.text(own_or_common("CERTIFICATE"))
        self.client_key = read.text(own_or_common("CLIENT_KEY"))
        self.client_certificate = read.text(own_or_common("CLIENT_CERTIFICATE"))


class ExportSettings:
    """What the telemetry process needs. Most of it is OpenTelemetry's own, with OpenTelemetry's defaults."""

    __slots__ = (
        "captured_exception",
        "captures_client_address",
        "captures_query",
        "environment",
        "export_timeout_ms",
        "function_memory_mb",
        "function_name",
        "function_version",
        "histogram_aggregation",
        "known_http_methods",
        "log_group",
        "log_stream",
        "max_attribute_length",
        "max_attributes",
        "max_batch_spans",
        "max_links",
        "max_queue_spans",
        "metric_interval_ms",
        "metric_temporality",
        "metrics",
        "redacted_names",
        "region",
        "resource_attributes",
        "sampler",
        "sampler_argument",
        "schedule_delay_ms",
        "service_name",
        "traces",
    )

    def __init__(self, variables: "Mapping[bytes, bytes]") -> None:
        read = self.environment = Environment(variables)
        self.traces = SignalSettings(read, "TRACES")
        self.metrics = SignalSettings(read, "METRICS")
        self.max_queue_spans = read.number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048, 1, 1_000_000)
        self.max_batch_spans = min(
            read.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, 1, 1_000_000), self.max_queue_spans
        )
        self.schedule_delay_ms = read.number("OTEL_BSP_SCHEDULE_DELAY", 5_000, 1, 900_000)
        self.export_timeout_ms = read.number("OTEL_BSP_EXPORT_TIMEOUT", 30_000, 1, 900_000)
        self.metric_interval_ms = read.number("OTEL_METRIC_EXPORT_INTERVAL", 60_000, 1, 86_400_000)
        # Not OpenTelemetry's cumulative: sandboxes are many short-lived streams, and each would be a series of its own.
        self.metric_temporality = read.one_of(
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta", ("delta", "cumulative", "lowmemory")
        )
        self.histogram_aggregation = read.one_of(
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "explicit_bucket_histogram",
            ("explicit_bucket_histogram", "base2_exponential_bucket_histogram"),
        )
        # 0 stands for OpenTelemetry's default: no limit.
        self.max_attribute_length = read.number(
            "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            read.number("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", 0, 0, 1_000_000_000),
            0,
            1_000_000_000,
        )
        self.max_attributes = read.number(
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", read.number("OTEL_ATTRIBUTE_COUNT_LIMIT", 128, 0, 100_000), 0, 100_000
        )
        self.max_links = read.number("OTEL_SPAN_LINK_COUNT_LIMIT", 128, 0, 100_000)
        # `Settings` has warned of a value that is no sampler.
        self.sampler = read.text("OTEL_TRACES_SAMPLER").lower()
        self.sampler_argument = read.text("OTEL_TRACES_SAMPLER_ARG")
        self.captures_query = read.flag("LRAP_CAPTURE_QUERY", default=True)
        self.captures_client_address = read.flag("LRAP_CAPTURE_CLIENT_ADDRESS", default=True)
        self.captured_exception = read.one_of("LRAP_CAPTURE_EXCEPTION", "stack", ("type", "message", "stack"))
        self.redacted_names = tuple(filter(None, map(str.strip, read.text("LRAP_REDACT").split(","))))
        self.known_http_methods = read.text("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS")
        self.resource_attributes = read.text("OTEL_RESOURCE_ATTRIBUTES")
        self.service_name = read.text("OTEL_SERVICE_NAME")
        self.region = read.text("AWS_REGION", read.text("AWS_DEFAULT_REGION"))
        self.function_name = read.text("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = read.text("AWS_LAMBDA_FUNCTION_VERSION")
        self.function_memory_mb = read.number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 0, 0, 1_000_000)
        self.log_group = read.text("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream = read.text("AWS_LAMBDA_LOG_STREAM_NAME")

    @property
    def warnings(self) -> list[str]:
        return self.environment.warnings


def _flag(text: str) -> bool:
    return ("false", "true").index(text.lower()) == 1


def _within(value: int, lowest: int, highest: int) -> int:
    if lowest <= value <= highest:
        return value
    raise ValueError(value)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    # A scheme, credentials, a path or IPv6 would only fail at every call.
    if not (host and colon) or any(character in host for character in ":/@ \t"):
        raise ValueError(text)
    return host, _within(int(port), 1, 65_535)


def _is_url(text: str) -> bool:
    scheme, separator, rest = text.partition("://")
    return scheme.lower() in ("http", "https") and bool(separator and rest.partition("/")[0])
