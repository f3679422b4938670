"""`json` beside our splice into the client context: there is one right answer to each value, and
when there is none.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lrap_otel.propagation.carrier.find import in_client_context
from lrap_otel.propagation.inject import with_client_context
from tests.fuzz.fields import fields_for, stale_with
from tests.fuzz.outline import Edit, Member, after_space, edited, is_text, last, loads, members

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMIT_BYTES = 100_000
_W3C = ("traceparent", "tracestate")


def check_client_context(data: bytes) -> str | None:
    """What is wrong with our reading of a client context, or with our splice into it; None where
    nothing is.
    """
    fields = fields_for(data)
    ours = with_client_context(data, tuple(fields.items()))
    our_headers = in_client_context(data)
    try:
        right, headers = _right_splice(data, fields), _right_reading(data)
    except RecursionError:
        return None
    if ours != right:
        return f"{data!r}: ours {ours!r}, by json {right!r}"
    return (
        None if our_headers == headers else f"{data!r}: ours {our_headers!r}, by json {headers!r}"
    )


def _context(data: bytes) -> tuple[str, dict[str, Any]]:
    """The text and its object; ValueError where it is none."""
    text = data.decode()
    context = loads(text)
    if not isinstance(context, tuple):
        raise ValueError("no object")  # noqa: TRY004 - as for everything else that is no object
    return text, dict(context)


def _right_reading(data: bytes) -> dict[str, str]:
    try:
        _, context = _context(data)
    except ValueError:
        return {}
    w3c = _strings(context.get("w3c"))
    return w3c if "traceparent" in w3c else _strings(context.get("custom"))


def _strings(pairs: Any) -> dict[str, str]:
    values = dict(pairs) if isinstance(pairs, tuple) else {}
    return {name.lower(): value for name, value in values.items() if is_text(value)}


def _right_splice(data: bytes, fields: dict[str, str]) -> bytes | None:
    try:
        text, _ = _context(data)
    except ValueError:
        return None
    top = members(text, after_space(text, 0))
    result = edited(
        text, [_w3c_edit(text, top, fields), *_custom_edits(text, last(top, "custom"), fields)]
    ).encode()
    return (
        result
        if len(result) < _LIMIT_BYTES and b"\r" not in result and b"\n" not in result
        else None
    )


def _w3c_edit(text: str, top: list[Member], fields: dict[str, str]) -> Edit:
    written = [f'"{name}":{json.dumps(value)}' for name, value in fields.items() if name in _W3C]
    old = last(top, "w3c")
    if old is None:
        start = text.index("{") + 1
        return start, start, f'"w3c":{{{",".join(written)}}}' + ("," if top else "")
    baggage = last(members(text, old.start), "baggage")
    if baggage is not None:
        written.append(f'"baggage":{text[baggage.start : baggage.end]}')
    return old.start, old.end, f"{{{','.join(written)}}}"


def _custom_edits(text: str, custom: Member | None, fields: dict[str, str]) -> Iterator[Edit]:
    """Of equal names the last counts, as for whoever parses it."""
    values = stale_with(fields)
    for name, member in {
        member.name: member for member in members(text, custom.start if custom else len(text))
    }.items():
        if name.lower() in values:
            yield member.start, member.end, json.dumps(values[name.lower()])
