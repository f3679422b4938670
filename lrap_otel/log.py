"""Lines on stderr, which Lambda adds to the function's log. Never a payload, a header's value or a
secret.

Telemetry itself goes to stdout, if its exporter is ``console``.
"""

import posix

_LEVELS = ("debug", "info", "warning", "error")
_threshold = _LEVELS.index("warning")


def set_level(level: str) -> None:
    """Print lines of `level` and above."""
    global _threshold  # noqa: PLW0603 - one process, one log
    _threshold = _LEVELS.index(level)


def is_printed(level: str) -> bool:
    """Whether lines of `level` are printed: for what costs something to say."""
    return _LEVELS.index(level) >= _threshold


def debug(text: str) -> None:
    _write("debug", text)


def info(text: str) -> None:
    _write("info", text)


def warning(text: str) -> None:
    _write("warning", text)


def error(text: str) -> None:
    _write("error", text)


def output(part: str) -> None:
    """Write a part of a line to stdout, as it stands."""
    left = memoryview(part.encode("utf-8", "backslashreplace"))
    try:
        while left:
            left = left[posix.write(1, left) :]
    except OSError:
        return  # as below


def _write(level: str, text: str) -> None:
    if is_printed(level):
        try:
            posix.write(2, f"lrap-otel: {level}: {text}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            return  # a log nobody reads is no reason to fail
