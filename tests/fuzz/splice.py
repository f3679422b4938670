"""`json` beside our splice: an event is left alone byte for byte, or it is what `json` and
DESIGN.md make of it.

Two judges. One builds the only right edit from the places of the members, by Python's own scanner,
and compares bytes. The other knows no positions: it parses both documents and compares what they
mean.
"""

from __future__ import annotations

import json
from typing import Any

from lrap_otel.propagation.carrier import find
from tests.fuzz.fields import fields_for
from tests.fuzz.meaning import changed_meaning, readings
from tests.fuzz.outline import after_space, loads, members
from tests.fuzz.right_edits import is_header, is_plainly_spelled, right_edits
from tests.fuzz.vocabulary import BATCHES
from tests.propagation.carried import told, written_into

LIMIT_BYTES = 1 << 20
# Deeper than this, where a reader gives up depends on its stack.
_DEPTH = 400


def check_event(data: bytes) -> str | None:
    """What is wrong with our splice into an event; None where nothing is."""
    fields = fields_for(data)
    carrier = find.find(data, LIMIT_BYTES)
    result = written_into(data, carrier, tuple(fields), tuple(fields.values())) if carrier else None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None if result is None else _difference(data, result, "what is not UTF-8 was edited")
    try:
        edit = None if result is None else result.decode()
        if _repeats_a_name(text):
            # Lambda writes no such event. Which of the two counts is not promised; that it stays
            # JSON is.
            return (
                None
                if edit is None or _is_json(edit)
                else _difference(data, result, "no JSON any more")
            )
        wrong = judge(text, edit, fields) or _wrongly_read(text, told(carrier) if carrier else None)
    except RecursionError:
        return None  # how deep is too deep depends on who calls
    return _difference(data, result, wrong) if wrong else None


def _repeats_a_name(text: str) -> bool:
    """Whether an object, at any depth, has two members of one name."""
    repeats: list[bool] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        repeats.append(len({name for name, _ in pairs}) < len(pairs))

    try:
        json.loads(text, object_pairs_hook=note)
    except ValueError:
        return False
    return any(repeats)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _difference(data: bytes, result: bytes | None, wrong: str) -> str:
    return f"{data!r}: {wrong}: {result!r}"


def judge(text: str, edit: str | None, fields: dict[str, str]) -> str | None:
    """What is wrong with an edit of an event, None being no edit; None where nothing is."""
    document = _document(text)
    if edit is None:
        return "an ordinary event was left alone" if _is_ordinary(text, document) else None
    if edit not in right_edits(text, fields):
        return "not the edit that the members' places ask for"
    return changed_meaning(document, _document(edit), fields)


def _document(text: str) -> Any:
    """What `json` makes of it, None where it makes nothing of it."""
    try:
        return loads(text)
    except ValueError:
        return None


def _is_ordinary(text: str, document: Any) -> bool:
    """An HTTP event as Lambda writes it, which must be edited: no name twice, no escapes, all
    headers text.
    """
    if (
        not isinstance(document, tuple)
        or "\\" in text
        or text.count("[") + text.count("{") > _DEPTH
    ):
        return False
    event = dict(document)
    if len(event) != len(document) or not event or document[0][0] in BATCHES:
        return False
    headers, arrays = event.get("headers"), event.get("multiValueHeaders", ())
    if not isinstance(headers, tuple) or not isinstance(arrays, tuple):
        return False
    return (
        isinstance(event.get("requestContext"), tuple)
        and all(is_header(value, has_arrays=False) for _, value in headers)
        and all(is_header(value, has_arrays=True) for _, value in arrays)
    )


def _wrongly_read(text: str, found: dict[str, str] | None) -> str | None:
    """The carrier's headers are those that `json` finds. Bytes above 127 are read otherwise, and
    none of them means anything.
    """
    document = _document(text)
    if found is None or not isinstance(document, tuple) or not text.isascii():
        return None
    if not all(is_plainly_spelled(text, member) for member in members(text, after_space(text, 0))):
        return None  # see `_as_far_as_read`
    right = readings(document)
    return None if found in right else f"the carrier's headers are {found!r}, not one of {right!r}"
