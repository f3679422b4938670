"""The carrier of an HTTP-shaped event in whatever form: member by member, every position known.

It takes ten times as long as a known shape does (`shapes`), which is learned from what it finds.
"""

from lrap_otel import json_scan
from lrap_otel.propagation.places import NAMES, Carrier, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.json_scan import Member
    from lrap_otel.propagation.places import Spot

_HEADERS = 'eaders"'


def find(text: str) -> Carrier | None:
    """The carrier in an event, None where there is none. ValueError if what had to be read is malformed or too deep.

    A carrier without places can be read but has nothing that may be written: headers that are no strings, names that are
    spelled with escapes.
    """
    return _http_event(text) or _lattice_v1_event(text) or _appsync_event(text)


def _http_event(text: str) -> Carrier | None:
    members = _members_until(text, "requestContext")
    if not _is_object(text, members.get("requestContext")):
        return None
    # Where API Gateway, Function URL and ALB have no headers, consoles and test tools write null.
    return _carrier(text, members, may_be_null="httpMethod" in members or "rawPath" in members)


def _lattice_v1_event(text: str) -> Carrier | None:
    members = _members_until(text, "raw_path")
    return _carrier(text, members) if "raw_path" in members and "method" in members else None


def _appsync_event(text: str) -> Carrier | None:
    members = _members_until(text, "info")
    request = members.get("request")
    if "arguments" not in members or not _is_object(text, request) or not _is_object(text, members.get("info")):
        return None
    return _carrier(text, json_scan.members(text, request[0])) if request else None


def _members_until(text: str, name: str) -> "dict[str, Member]":
    """The event's members up to `name` and to the last place where headers may stand; none where `name` is nowhere."""
    if f'"{name}"' not in text:
        return {}
    return json_scan.members(text, json_scan.after_space(text, 0), name, text.rfind(_HEADERS))


def _is_object(text: str, member: "Member | None") -> bool:
    return member is not None and text.startswith("{", member[0])


def _carrier(text: str, members: "dict[str, Member]", *, may_be_null: bool = False) -> Carrier | None:
    names = [name for name in ("headers", "multiValueHeaders") if name in members]
    places = [_place(text, members[name], name == "multiValueHeaders", may_be_null) for name in names]
    headers: dict[str, str] = {}
    for name in names:
        headers.update(_values_by_name(members[name][2]))
    return Carrier(text, headers, [place for place in places if place] if all(places) else []) if names else None


def _place(text: str, member: "Member", has_arrays: bool, may_be_null: bool) -> Place | None:
    start, end, pairs = member
    if pairs is None and may_be_null and end > start:
        return Place(start, {}, has_arrays, is_empty=True, is_null=True)
    if type(pairs) is not tuple:
        return None
    # VPC Lattice v2 has arrays in `headers` itself.
    has_arrays = has_arrays or (len(pairs) > 0 and type(pairs[0][1]) is list)
    if not all(map(_is_strings if has_arrays else _is_string, [value for _, value in pairs])):
        return None
    names = [name.lower() for name, _ in pairs]
    spots = {name: _spots(text, start, end, name) for name in NAMES if name in names}
    # A name that is spelled with escapes is not found by its letters.
    if any(len(found) != names.count(name) for name, found in spots.items()):
        return None
    return Place(start, spots, has_arrays, is_empty=not pairs)


def _is_string(value: object) -> bool:
    return type(value) is str


def _is_strings(value: object) -> bool:
    return type(value) is list and all(map(_is_string, value))


def _values_by_name(pairs: "Any") -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for name, value in pairs if type(pairs) is tuple else ():
        values = value if type(value) is list else [value]
        found.setdefault(name.lower(), []).extend([item for item in values if type(item) is str])
    return {name: ",".join(found[name]) for name in NAMES if found.get(name)}


def _spots(text: str, start: int, end: int, name: str) -> "tuple[Spot, ...]":
    """The members of this name, in any case, in the flat object that is `text[start:end]`.

    A quoted name within a string has a backslash before one of its quotes; and only a member's is followed by a colon.
    """
    lowered = text[start:end].lower()
    quoted = f'"{name}"'
    spots = []
    spot = lowered.find(quoted)
    while spot >= 0:
        colon = json_scan.after_space(lowered, spot + len(quoted))
        if lowered[colon] == ":" and lowered[spot - 1] != "\\":
            value = json_scan.after_space(text, start + colon + 1)
            spots.append((start + spot, value, json_scan.outline(text, value)[1]))
        spot = lowered.find(quoted, spot + 1)
    return tuple(spots)
