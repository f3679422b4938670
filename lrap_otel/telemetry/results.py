"""What a result says: the HTTP status of an HTTP-shaped one, the records that a batch's gives back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lrap_otel.telemetry import json_text

if TYPE_CHECKING:
    from lrap_otel.telemetry.bodies import Body

_PRELUDE_END = b"\0" * 8


def http_status(body: Body, *, is_streamed: bool, has_default: bool) -> int | None:
    """The HTTP status that the caller gets for this result; None where the result does not tell.

    `is_streamed`: the body starts with a prelude of JSON and eight NUL bytes. `has_default`: the trigger makes 200 of
    whatever has no ``statusCode`` (API Gateway's payload format 2.0, Function URLs).

    Source: AWS, "Working with AWS Lambda proxy integrations for HTTP APIs", "Response payload of a function URL".
    """
    if is_streamed:
        return _prelude_status(body)
    has_default = has_default and (body.is_whole or not body.first.lstrip().startswith(b"{"))
    return _status(_member(body, "statusCode"), has_default=has_default)


def item_failures(body: Body) -> int | None:
    """How many records of its batch the function gives back in ``batchItemFailures``; None where the result does not tell.

    Source: AWS, "Implementing partial batch responses".
    """
    failures = _member(body, "batchItemFailures")
    return len(failures) if isinstance(failures, list) else None


def _prelude_status(body: Body) -> int | None:
    prelude, end, _ = body.first.partition(_PRELUDE_END)
    if end:
        return _status(json_text.parse_object(prelude).get("statusCode"), has_default=True)
    return _status(json_text.leading_members(prelude.decode("utf-8", "replace")).get("statusCode"), has_default=False)


def _member(body: Body, name: str) -> Any:
    if body.is_whole:
        return json_text.parse_object(body.first).get(name)
    members = json_text.leading_members(body.first.decode("utf-8", "replace"))
    if name in members:
        return members[name]
    return json_text.trailing_member(body.last.decode("utf-8", "replace"), name)


def _status(value: Any, *, has_default: bool) -> int | None:
    if value is None:
        return 200 if has_default else None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:4])
    is_status = isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599
    return value if is_status else None
