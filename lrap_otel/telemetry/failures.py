"""Why an invocation failed, which becomes ``error.type``: by the body and header fields of a POST
to ``/error``, the trailers of a result, or Lambda's reason for SHUTDOWN.
"""

from __future__ import annotations

from binascii import a2b_base64

from lrap_otel.telemetry import json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.telemetry.bodies import Body
    from lrap_otel.telemetry.heads import Head

OTHER = "_OTHER"
TIMEOUT = "timeout"
STACK_LIMIT_CHARACTERS = 65_536

ERROR_TYPE_FIELD = "lambda-runtime-function-error-type"
_ERROR_BODY_FIELD = "lambda-runtime-function-error-body"
_XRAY_CAUSE_FIELD = "lambda-runtime-function-xray-error-cause"


class Failure:
    """A failure. `type` is a class name or one of our fixed words, never empty. `stack` and
    `message` may be empty. `is_exception`: the function's code raised it.
    """

    __slots__ = ("is_exception", "message", "stack", "type")

    def __init__(
        self, error_type: str, message: str = "", stack: str = "", is_exception: bool = True
    ) -> None:
        self.type = error_type
        self.message = message
        self.stack = stack
        self.is_exception = is_exception


def from_error(head: Head, body: Body) -> Failure:
    """The failure that a POST to ``/error`` reports.

    Read from the body (``errorType``, ``errorMessage``, ``stackTrace``). What is missing there,
    because the body is cut or has another form, is read from the X-Ray cause or the error type's
    header field.
    """
    told = json_text.leading_members(body.first.decode("utf-8", "replace"))
    cause = _first_exception(head.get(_XRAY_CAUSE_FIELD))
    return Failure(
        _text(told.get("errorType"))
        or _text(cause.get("type"))
        or head.get(ERROR_TYPE_FIELD)
        or OTHER,
        _text(told.get("errorMessage")) or _text(cause.get("message")),
        _stack(told.get("stackTrace") or told.get("trace") or cause.get("stack")),
    )


def from_trailers(body: Body) -> Failure | None:
    """The failure that the trailers of a streamed result report; None if there is none."""
    error_type = body.trailers.get(ERROR_TYPE_FIELD, "")
    error_body = body.trailers.get(_ERROR_BODY_FIELD, "")
    if not error_type and not error_body:
        return None
    told = json_text.parse_object(_decoded(error_body))
    return Failure(
        _text(told.get("errorType")) or error_type or OTHER,
        _text(told.get("errorMessage")),
        _stack(told.get("stackTrace") or told.get("trace")),
    )


def from_refusal(status: int) -> Failure:
    """The failure of a result that the Runtime API refused. 413 has a name of Lambda's own; other
    failures are named after their status.
    """
    return Failure(
        "Function.ResponseSizeTooLarge" if status == 413 else str(status), is_exception=False
    )


TRUNCATED = Failure("Runtime.TruncatedResponse", is_exception=False)

# Of what was still open at SHUTDOWN, by Lambda's reason.
SHUTDOWN_FAILURES = {
    "timeout": Failure(TIMEOUT, is_exception=False),
    "failure": Failure("crash", is_exception=False),
}
SHUTDOWN_OTHER = Failure("shutdown", is_exception=False)


def at_shutdown(reason: str) -> Failure:
    """The failure of an invocation that has no result at SHUTDOWN; `reason` is Lambda's, in lower
    case.
    """
    return SHUTDOWN_FAILURES.get(reason, SHUTDOWN_OTHER)


def _decoded(text: str) -> bytes:
    try:
        return a2b_base64(text)
    except ValueError:
        return b""


def _first_exception(cause: str) -> dict[str, Any]:
    exceptions = json_text.as_list(json_text.parse_object(cause).get("exceptions")) if cause else []
    return json_text.as_object(exceptions[0]) if exceptions else {}


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _stack(value: Any) -> str:
    if isinstance(value, str):
        return value[:STACK_LIMIT_CHARACTERS]
    lines = [_frame(frame) for frame in json_text.as_list(value)]
    return "\n".join(line for line in lines if line)[:STACK_LIMIT_CHARACTERS]


def _frame(frame: Any) -> str:
    if isinstance(frame, dict):
        return f"{frame.get('label', '')} ({frame.get('path', '')}:{frame.get('line', '')})"
    if isinstance(frame, list):
        # The oldest Python clients send lists: [file, line, function, source].
        return " ".join(str(part) for part in frame)
    return frame.rstrip("\n") if isinstance(frame, str) else ""
