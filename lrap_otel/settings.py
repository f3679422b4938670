"""The environment variables that the proxy process reads: name, unit, default and bounds. Those of
the export are in telemetry/settings.py; docs/settings.md has them all.

Loaded before the extension registers, so classes are plain. environment.py reads the values.
"""

from lrap_otel.environment import Environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

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
DEFAULT_SAMPLER = "parentbased_always_on"
FLUSH_CHOICES = ("auto", "end", "overlap")
TELEMETRY_API_CHOICES = ("auto", "off", "platform", "all")
LOG_LEVELS = ("debug", "info", "warning", "error")
# An invocation of Managed Instances may run for 90 minutes; nothing of ours takes longer.
LONGEST_MS = 90 * 60 * 1_000


class Settings:
    """What the proxy process needs."""

    __slots__ = (
        "environment",
        "export_enabled",
        "extension_name",
        "extensions_api",
        "flush",
        "flush_budget_ms",
        "is_managed_instances",
        "listener_port",
        "log_level",
        "propagators",
        "runtime_api",
        "sampler",
        "sampler_argument",
        "scan_limit_bytes",
        "telemetry_types",
        "xray_header",
    )

    def __init__(self, variables: "Mapping[bytes, bytes]") -> None:
        read = self.environment = Environment(variables)
        self.extensions_api = read.address("AWS_LAMBDA_RUNTIME_API", None)
        self.runtime_api = read.address("LRAP_RUNTIME_API_ENDPOINT", self.extensions_api)
        self.listener_port = read.port("LRAP_LISTENER_PORT", 9009)
        self.extension_name = read.text("LRAP_EXTENSION_NAME", "lrap-otel")
        self.is_managed_instances = read.text("AWS_LAMBDA_INITIALIZATION_TYPE") == MANAGED_INSTANCES
        self.export_enabled = read.switch("LRAP_ENABLED", default=True) and not read.flag(
            "OTEL_SDK_DISABLED", default=False
        )
        self.flush = read.word_or_number("LRAP_FLUSH", "auto", FLUSH_CHOICES, 1, LONGEST_MS)
        self.flush_budget_ms = read.number("LRAP_FLUSH_BUDGET_MS", 500, 0, LONGEST_MS)
        self.log_level = read.one_of("LRAP_LOG_LEVEL", "warning", LOG_LEVELS)
        self.propagators = read.several_of(
            "OTEL_PROPAGATORS", ("tracecontext", "baggage"), PROPAGATORS
        )
        self.sampler = read.one_of("OTEL_TRACES_SAMPLER", DEFAULT_SAMPLER, SAMPLERS)
        self.sampler_argument = read.text("OTEL_TRACES_SAMPLER_ARG")
        self.xray_header = read.one_of("LRAP_XRAY_HEADER", "auto", ("auto", "always", "never"))
        self.telemetry_types = telemetry_types(read)
        self.scan_limit_bytes = read.number("LRAP_SCAN_LIMIT_BYTES", 2_097_152, 0, 6_291_556)

    @property
    def warnings(self) -> list[str]:
        return self.environment.warnings


def telemetry_types(read: Environment) -> tuple[str, ...]:
    """The types of events that are asked of the Telemetry API; none if it is off."""
    choice = read.one_of("LRAP_TELEMETRY_API", "auto", TELEMETRY_API_CHOICES)
    if choice == "off":
        return ()
    if choice == "all":
        return "platform", "function", "extension"
    # To send the function's log costs money, so that it has to be asked for.
    asks_for_logs = read.text("OTEL_LOGS_EXPORTER").lower() not in {"", "none"}
    return ("platform", "function") if choice == "auto" and asks_for_logs else ("platform",)
