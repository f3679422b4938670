"""What a result contains besides its payload: the HTTP status of an HTTP response, the failed
records of a batch.
"""

from __future__ import annotations

from lrap_otel.telemetry import json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.telemetry.bodies import Body
    from lrap_otel.telemetry.heads import Head

_PRELUDE_TYPE = "application/vnd.awslambda.http-integration-response"
_PRELUDE_END = b"\0" * 8


def http_status(body: Body, *, is_streamed: bool, has_default: bool) -> int | None:
    """The HTTP status that the caller gets for this result; None if the result does not contain
    one.

    `is_streamed`: the body may start with a prelude (a JSON object and eight NUL bytes), which then
    contains the status. `has_default`: without a ``statusCode`` the service answers 200 (API
    Gateway's payload format 2.0, Function URLs).

    Source: AWS, "Working with AWS Lambda proxy integrations for HTTP APIs", "Response payload of a
    function URL".
    """
    prelude, end, _ = body.first.partition(_PRELUDE_END) if is_streamed else (b"", b"", b"")
    members = json_text.parse(prelude or b"{}") if end else None
    if isinstance(members, dict):
        return _status(members.get("statusCode"), has_default=True)
    has_default = has_default and (body.is_whole or not body.first.lstrip().startswith(b"{"))
    # Of a prelude longer than the capture only the beginning is read: the end of the body is the
    # response.
    return _status(_member(body, "statusCode", may_trail=not is_streamed), has_default=has_default)


def is_streamed(head: Head) -> bool:
    """Whether a result with this head may start with a prelude: it is streamed, or has the
    prelude's content type.
    """
    mode = head.get("lambda-runtime-function-response-mode").lower()
    return (
        mode == "streaming"
        or head.get("content-type").partition(";")[0].strip().lower() == _PRELUDE_TYPE
    )


def item_failures(body: Body) -> int | None:
    """The number of records in ``batchItemFailures``; None if the result has no such member.

    Source: AWS, "Implementing partial batch responses".
    """
    failures = _member(body, "batchItemFailures")
    return len(failures) if isinstance(failures, list) else None


def _member(body: Body, name: str, *, may_trail: bool = True) -> Any:
    if body.is_whole:
        return json_text.parse_object(body.first).get(name)
    members = json_text.leading_members(body.first.decode("utf-8", "replace"))
    if name in members or not may_trail:
        return members.get(name)
    return json_text.trailing_member(body.last.decode("utf-8", "replace"), name)


def _status(value: Any, *, has_default: bool) -> int | None:
    if value is None:
        return 200 if has_default else None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:4])
    is_status = isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599
    return value if is_status else None
