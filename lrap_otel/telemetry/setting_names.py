"""Variables that are set, and that nobody reads: a name of ours that is none, and OpenTelemetry's
that we do not honour. Each is said once, after the start, where it costs the function nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Every variable of ours, whoever reads it; a test compares with the sources and with
# docs/settings.md.
OURS = (
    "LRAP_CAPTURE_CLIENT_ADDRESS",
    "LRAP_CAPTURE_EXCEPTION",
    "LRAP_CAPTURE_QUERY",
    "LRAP_DEPENDENCIES",
    "LRAP_ENABLED",
    "LRAP_EXPORT",
    "LRAP_EXTENSION_NAME",
    "LRAP_FLUSH",
    "LRAP_FLUSH_BUDGET_MS",
    "LRAP_KEEP",
    "LRAP_LISTENER_PORT",
    "LRAP_LOGS_LEVEL",
    "LRAP_LOGS_RATE",
    "LRAP_LOG_LEVEL",
    "LRAP_NEXT_WRAPPER",
    "LRAP_PYTHON",
    "LRAP_REDACT",
    "LRAP_RUNTIME_API_ENDPOINT",
    "LRAP_SCAN_LIMIT_BYTES",
    "LRAP_SPOOL_BYTES",
    "LRAP_SPOOL_DIR",
    "LRAP_TELEMETRY_API",
    "LRAP_XRAY_HEADER",
)
_SCHEME_DECIDES = "the endpoint's scheme says whether TLS is used"
_NO_FILE = "it is not read; the variables are used"
# Variables of OpenTelemetry's that would change what we send, with what applies instead.
NOT_HONOURED = {
    "OTEL_CONFIG_FILE": _NO_FILE,
    "OTEL_EXPERIMENTAL_CONFIG_FILE": _NO_FILE,
    "OTEL_EXPORTER_OTLP_INSECURE": _SCHEME_DECIDES,
    "OTEL_EXPORTER_OTLP_METRICS_INSECURE": _SCHEME_DECIDES,
    "OTEL_EXPORTER_OTLP_TRACES_INSECURE": _SCHEME_DECIDES,
    "OTEL_LOG_LEVEL": "ours is LRAP_LOG_LEVEL",
    "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN": "exceptions are events of spans",
}
_PROTOCOLS = (
    b"OTEL_EXPORTER_OTLP_PROTOCOL",
    b"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    b"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
)
# Values that ask for what happens anyway.
_HARMLESS = frozenset({"", "none", "false"})
_PREFIX = "LRAP_"
# More than these tell the user nothing new, and longer names are expensive to compare.
_NAMES_LIMIT = 10
_LENGTH_LIMIT = 64


def warnings_of(variables: Mapping[bytes, bytes]) -> list[str]:
    """The warnings about these variables' names. No value is repeated."""
    return [*unknown_names(variables), *unused_names(variables)]


def unknown_names(variables: Mapping[bytes, bytes]) -> list[str]:
    """One warning for each name that starts like ours and is unknown."""
    unknown = sorted(_unknown(variables))
    return [f"{name} is no setting{_suggestion(name)}" for name in unknown[:_NAMES_LIMIT]]


def unused_names(variables: Mapping[bytes, bytes]) -> list[str]:
    """At most one warning, with the variables of OpenTelemetry's that are not honoured."""
    # The exporter over gRPC reads them: its endpoints need no scheme.
    is_grpc = any(_text(variables.get(name, b"")).lower() == "grpc" for name in _PROTOCOLS)
    unused = [
        f"{name} ({instead})"
        for name, instead in NOT_HONOURED.items()
        if _text(variables.get(name.encode(), b"")).lower() not in _HARMLESS
        and not (instead == _SCHEME_DECIDES and is_grpc)
    ]
    return [f"set for others, and not used by lrap-otel: {', '.join(unused)}"] if unused else []


def _unknown(variables: Mapping[bytes, bytes]) -> Iterator[str]:
    for encoded in variables:
        name = _text(encoded)
        if name.upper().startswith(_PREFIX) and name not in OURS:
            short = name if len(name) <= _LENGTH_LIMIT else name[:_LENGTH_LIMIT] + "..."
            yield short if short.isprintable() else ascii(short)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").strip()


def _suggestion(name: str) -> str:
    """A hint at the setting that was probably meant; empty if none is similar."""
    words = name.upper().removeprefix(_PREFIX)
    # LRAP_PORT means LRAP_LISTENER_PORT, though few letters are the same.
    within = [known for known in OURS if set(words.split("_")) <= set(known.split("_"))]
    nearest = min(within or OURS, key=lambda known: _distance(words, known.removeprefix(_PREFIX)))
    is_near = bool(within) or 2 * _distance(words, nearest.removeprefix(_PREFIX)) <= len(words)
    return f"; do you mean {nearest}?" if is_near else "; docs/settings.md has them all"


def _distance(one: str, other: str) -> int:
    """The Levenshtein distance: letters to insert, delete or replace."""
    above = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        line = [row]
        for column, letter_of_other in enumerate(other, 1):
            kept = above[column - 1] + (letter != letter_of_other)
            line.append(min(kept, above[column] + 1, line[-1] + 1))
        above = line
    return above[-1]
