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
LOG_LEVELS = ("debug", "info", "warning", "error")


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
        return tuple(part for part in names if part in choices) if names else default

    def address(self, name: str, default: tuple[str, int] | None) -> tuple[str, int] | None:
        """``host:port``."""
        return self._parsed(name, default, _address)

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
        "function_name",
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
        self.function_name = read.text("AWS_LAMBDA_FUNCTION_NAME")
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


def _flag(text: str) -> bool:
    return ("false", "true").index(text.lower()) == 1


def _within(value: int, lowest: int, highest: int) -> int:
    if lowest <= value <= highest:
        return value
    raise ValueError(value)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (host and colon):
        raise ValueError(text)
    return host, _within(int(port), 1, 65_535)
