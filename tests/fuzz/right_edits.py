"""The only right edits of an event, from the places of its members as Python's own `json` finds
them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.fuzz.fields import KEEPS_ITS_SPELLING, STALE, stale_with
from tests.fuzz.outline import Edit, Member, after_space, edited, is_text, last, members

if TYPE_CHECKING:
    from collections.abc import Iterator


def right_edits(text: str, fields: dict[str, str]) -> list[str]:
    """By each shape that the event has, the edited text. Where headers may not be written, none."""
    every = members(text, after_space(text, 0))
    found = [
        _edits(text, holder, fields, may_be_null=_may_be_null(top))
        for top in _as_far_as_read(text, every)
        for holder in _holders_of(text, top)
    ]
    # VPC Lattice's events say their method before their headers; a later one may not be read.
    if not _is_of_http(text, [member for member in every if member.name != "method"]):
        tops = _as_far_as_read(text, every)
        found += [_edits_of_call(text, top, fields) for top in tops if not _is_of_http(text, top)]
    return [edited(text, edits) for edits in found if edits]


def _is_of_http(text: str, top: list[Member]) -> bool:
    plain = [member for member in top if is_plainly_spelled(text, member)]
    return any(
        last(holder, name)
        for holder in _holders_of(text, plain)
        for name in ("headers", "multiValueHeaders")
    )


def _as_far_as_read(text: str, top: list[Member]) -> Iterator[list[Member]]:
    """All members, and all but the last ones: nothing behind the members that are needed is looked
    at, unless it says headers.

    What is missed so has escapes in its name, or is a second member of its name; Lambda writes
    neither.
    """
    for end in range(len(top), 0, -1):
        yield top[:end]
        last_end = top[end - 1].end
        if 'eaders"' in text[top[end - 1].name_start : last_end if last_end >= 0 else len(text)]:
            return


def _holders_of(text: str, top: list[Member]) -> list[list[Member]]:
    """The objects whose headers the event's shape allows to write."""
    names = {member.name for member in top}
    objects = {member.name for member in top if text.startswith("{", member.start)}
    holders = []
    if "requestContext" in objects or {"raw_path", "method"} <= names:
        holders.append(top)
    if "requestContext" in objects and names.isdisjoint({"headers", "multiValueHeaders"}):
        # AppSync's authorizers.
        holders.append(
            [member._replace(name="headers") for member in top if member.name == "requestHeaders"]
        )
    request = last(top, "request")
    if request is not None and "request" in objects and _is_from_appsync(text, top, names, objects):
        holders.append(members(text, request.start))
    return holders


def _is_from_appsync(text: str, top: list[Member], names: set[str], objects: set[str]) -> bool:
    info = last(top, "info")
    if info is None or "info" not in objects:
        return {"typeName", "fieldName"} <= names
    inner = {member.name for member in members(text, info.start)}
    return "arguments" in names or not inner.isdisjoint({"fieldName", "channel"})


def _edits_of_call(text: str, top: list[Member], fields: dict[str, str]) -> list[Edit]:
    """Of an object of any other shape that has headers: what stands in them is replaced, and
    nothing is added.
    """
    place = last(top, "headers")
    if place is None or not isinstance(place.value, tuple) or _is_array(place.value):
        return []
    found = members(text, place.start)
    there = {member.name.lower() for member in found}
    # What is not ours goes only beside what is.
    kept = [member for member in found if STALE.get(member.name.lower(), "") not in {"", *there}]
    kept = [member for member in kept if member.name.lower() not in fields]
    edits = _edits_of_place(text, place, fields, may_be_null=False)[:-1]
    return [
        edit
        for edit in edits
        if not any(member.name_start <= edit[0] < member.end for member in kept)
    ]


def _may_be_null(top: list[Member]) -> bool:
    return any(member.name in {"httpMethod", "rawPath"} for member in top)


def is_plainly_spelled(text: str, member: Member) -> bool:
    return text.startswith(f'"{member.name}"', member.name_start)


def _edits(
    text: str, holder: list[Member], fields: dict[str, str], *, may_be_null: bool
) -> list[Edit]:
    """The edits of the headers and the multiValueHeaders of one object; none where one of them may
    not be edited.
    """
    edits: list[Edit] = []
    for name in ("headers", "multiValueHeaders"):
        place = last(holder, name)
        if place is not None:
            found = _edits_of_place(text, place, fields, may_be_null=may_be_null)
            if not found:
                return []
            edits += found
    return edits


def _edits_of_place(
    text: str, place: Member, fields: dict[str, str], *, may_be_null: bool
) -> list[Edit]:
    if place.end < 0:
        return []
    pairs = place.value
    has_arrays = place.name == "multiValueHeaders" or (
        isinstance(pairs, tuple) and _is_array(pairs)
    )
    if pairs is None:
        added = ",".join(_written(name, value, has_arrays) for name, value in fields.items())
        return [(place.start, place.end, f"{{{added}}}")] if may_be_null else []
    if not isinstance(pairs, tuple) or not all(is_header(value, has_arrays) for _, value in pairs):
        return []
    edits: list[Edit] = []
    values = stale_with(fields)
    there = set()
    for member in members(text, place.start):
        name = member.name.lower()
        if name in values:
            there.add(name)
            spelled = member.name if name == KEEPS_ITS_SPELLING else name
            if not is_plainly_spelled(text, member):
                return []  # escapes in a name
            edits.append(
                (member.name_start, member.name_start + len(name) + 2, json.dumps(spelled))
            )
            edits.append((member.start, member.end, _value(values[name], has_arrays)))
    missing = "".join(
        _written(name, value, has_arrays) + ","
        for name, value in fields.items()
        if name not in there
    )
    return [*edits, (place.start + 1, place.start + 1, missing if pairs else missing[:-1])]


def _is_array(pairs: tuple[tuple[str, Any], ...]) -> bool:
    return len(pairs) > 0 and isinstance(pairs[0][1], list)


def is_header(value: Any, has_arrays: bool) -> bool:
    if has_arrays:
        return isinstance(value, list) and all(map(is_text, value))
    return is_text(value)


def _written(name: str, value: str, has_arrays: bool) -> str:
    return f'"{name}":{_value(value, has_arrays)}'


def _value(value: str, has_arrays: bool) -> str:
    return f"[{json.dumps(value)}]" if has_arrays else json.dumps(value)
