"""What runtimes and common loggers call the severity of a record, as OpenTelemetry's number.

Source: OpenTelemetry, "Logs data model", "Severity fields", "Mapping of SeverityNumber".
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UNKNOWN, TRACE, DEBUG, INFO, WARN, ERROR, FATAL = 0, 1, 5, 9, 13, 17, 21

_WORDS = {
    "trace": TRACE,
    "verbose": TRACE,
    "finest": TRACE,
    "debug": DEBUG,
    "fine": DEBUG,
    "info": INFO,
    "information": INFO,
    "informational": INFO,
    "notice": INFO,
    "warn": WARN,
    "warning": WARN,
    "err": ERROR,
    "error": ERROR,
    "severe": ERROR,
    "fatal": FATAL,
    "critical": FATAL,
    "crit": FATAL,
    "alert": FATAL,
    "emerg": FATAL,
    "emergency": FATAL,
    "panic": FATAL,
}
# pino's and bunyan's numbers.
_NUMBERS = {10: TRACE, 20: DEBUG, 30: INFO, 40: WARN, 50: ERROR, 60: FATAL}


def severity_of(value: "Any") -> tuple[int, str]:
    """The number, `UNKNOWN` for a word that nobody knows, and the original text."""
    if isinstance(value, str):
        text = value.strip()
        return _WORDS.get(text.lower(), UNKNOWN), text
    if type(value) is int:
        return _NUMBERS.get(value, UNKNOWN), str(value)
    return UNKNOWN, ""
