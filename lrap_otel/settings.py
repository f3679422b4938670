"""The environment variables that the proxy process reads: name, unit, default and bounds. Those of
the export are in telemetry/settings.py; docs/settings.md has them all.

Loaded before the extension registers, so this file imports nothing and classes are plain. A value
that cannot be used gives one warning and the default; an empty one counts as unset (OpenTelemetry's
rule).
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
DEFAULT_SAMPLER = "parentbased_always_on"
FLUSH_CHOICES = ("auto", "end", "overlap")
TELEMETRY_API_CHOICES = ("auto", "off", "platform", "all")
LOG_LEVELS = ("debug", "info", "warning", "error")
# An invocation of Managed Instances may run for 90 minutes; nothing of ours takes longer.
LONGEST_MS = 90 * 60 * 1_000
_QUOTED_LIMIT = 60

_SWITCHES = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_PORT_DIGITS, _HIGHEST_PORT = 5, 65_535


class Environment:
    """The variables of one process, read by kind; `warnings` collects what could not be used."""

    __slots__ = ("variables", "warnings")

    def __init__(self, variables: "Mapping[bytes, bytes]") -> None:
        self.variables = variables
        self.warnings: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        """The value as it stands; `default` where it is unset or empty."""
        return self.variables.get(name.encode(), b"").decode("utf-8", "surrogateescape").strip() or default

    def flag(self, name: str, default: bool) -> bool:
        """``true`` or ``false``, in any case."""
        return self._parsed(name, default, _flag)

    def switch(self, name: str, default: bool) -> bool:
        """On or off, in the words that people write. OpenTelemetry's variables have `flag`."""
        return self._parsed(name, default, lambda text: _SWITCHES[text.lower()])

    def port(self, name: str, default: int) -> int:
        """A plain decimal from 1 to 65535, blanks around it ignored: what `opt/wrapper` takes too."""
        text = self.variables.get(name.encode(), b"").strip(b" \t\n")
        if not text:
            return default
        is_plain = text.isdigit() and not text.startswith(b"0") and len(text) <= _PORT_DIGITS
        if is_plain and int(text) <= _HIGHEST_PORT:
            return int(text)
        quoted = ascii(text[:_QUOTED_LIMIT])[1:]
        self.warn(f"{name}={quoted} cannot be used; {default} is used instead")
        return default

    def number(self, name: str, default: int, lowest: int, highest: int, says: str = "") -> int:
        """A whole number within bounds that are both allowed. `says` are the warning's words for
        the default, where the number itself would mislead.
        """
        return self._parsed(name, default, lambda text: _within(_decimal(text), lowest, highest), says)

    def one_of(self, name: str, default: str, choices: tuple[str, ...], says: str = "") -> str:
        """One of `choices`, in any case. `says` are the warning's words for the default."""
        return self._parsed(name, default, lambda text: choices[choices.index(text.lower())], says)

    def word_or_number(self, name: str, default: str, choices: tuple[str, ...], lowest: int, highest: int) -> str | int:
        """One of `choices`, in any case, or a whole number within bounds that are both allowed."""

        def parse(text: str) -> str | int:
            return text.lower() if text.lower() in choices else _within(_decimal(text), lowest, highest)

        chosen: str | int = default
        return self._parsed(name, chosen, parse)

    def several_of(self, name: str, default: tuple[str, ...], choices: tuple[str, ...]) -> tuple[str, ...]:
        """A comma-separated list, each once; what is not of `choices` is left out with a warning
        (OpenTelemetry's rule).
        """
        names = dict.fromkeys(part.strip().lower() for part in self.text(name).split(",") if part.strip())
        for unknown in (part for part in names if part not in choices):
            self.warn(f"{name}: {quoted(unknown)} is not one of {', '.join(choices)}; it is ignored")
        return tuple(part for part in names if part in choices) or default

    def address(self, name: str, default: tuple[str, int] | None) -> tuple[str, int] | None:
        """``host:port``."""
        return self._parsed(name, default, _address)

    def warn(self, text: str) -> None:
        """Keep a warning, once: some variables are read for two signals."""
        if text not in self.warnings:
            self.warnings.append(text)

    def _parsed(self, name: str, default: "T", parse: "Callable[[str], T]", says: str = "") -> "T":
        text = self.text(name)
        if not text:
            return default
        try:
            return parse(text)
        except (KeyError, ValueError):
            self.warn(f"{name}={quoted(text)} cannot be used; {says or repr(default)} is used instead")
            return default


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
        self.propagators = read.several_of("OTEL_PROPAGATORS", ("tracecontext", "baggage"), PROPAGATORS)
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


def _flag(text: str) -> bool:
    return ("false", "true").index(text.lower()) == 1


def _decimal(text: str) -> int:
    # Plain digits: `int` also reads "+1", "1_000" and the digits of other alphabets.
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def quoted(text: str) -> str:
    """For a warning, however long it is."""
    return repr(text if len(text) <= _QUOTED_LIMIT else text[:_QUOTED_LIMIT] + "...")


def _within(value: int, lowest: int, highest: int) -> int:
    if lowest <= value <= highest:
        return value
    raise ValueError(value)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    # A scheme, credentials, a path or IPv6 would only fail at every call.
    if not (host and colon) or any(character in host for character in ":/@ \t"):
        raise ValueError(text)
    return host, _within(_decimal(port), 1, 65_535)
