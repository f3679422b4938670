"""The carrier of an event in whatever form: member by member, every position known.

It takes ten times as long as a template does (`templates`), which is learned from what it finds.
"""

from lrap_otel.propagation.carrier.model import NAMES, HeadersObject
from lrap_otel.propagation.carrier.scanned import ScannedCarrier
from lrap_otel.text import json_scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.propagation.carrier.model import MemberSpan
    from lrap_otel.text.json_scan import Member

_HEADERS = 'eaders"'
# In AppSync's `info`: of a resolver, of a handler of the Event API.
_INFO_NAMES = frozenset(("fieldName", "channel"))


def find(text: str) -> ScannedCarrier | None:
    """The carrier in an event, None where there is none. ValueError if what had to be read is
    malformed or too deep.

    A carrier without `objects` can be read, but nothing may be written: headers that are no
    strings, names that are spelled with escapes.
    """
    return (
        _http_event(text)
        or _lattice_v1_event(text)
        or _appsync_event(text)
        or _call_with_headers(text)
        or _passthrough_event(text)
    )


def _http_event(text: str) -> ScannedCarrier | None:
    members = _members_until(text, "requestContext")
    if not _is_object(text, members.get("requestContext")):
        return None
    # Where API Gateway, Function URL and ALB have no headers, consoles and test tools write null.
    may_be_null = "httpMethod" in members or "rawPath" in members
    # The last are those of AppSync's authorizers.
    return _carrier(text, members, may_be_null=may_be_null) or _carrier(
        text, members, ("requestHeaders",)
    )


def _lattice_v1_event(text: str) -> ScannedCarrier | None:
    members = _members_until(text, "raw_path")
    return _carrier(text, members) if "raw_path" in members and "method" in members else None


def _appsync_event(text: str) -> ScannedCarrier | None:
    """Of a resolver or a handler of the Event API."""
    for name in ("info", "fieldName"):
        members = _members_until(text, name)
        request = members.get("request")
        if request is not None and _is_object(text, request) and _is_from_appsync(text, members):
            return _carrier(text, json_scan.members(text, request[0]))
    return None


def _is_from_appsync(text: str, members: "dict[str, Member]") -> bool:
    info = members.get("info")
    if info is None or not _is_object(text, info):
        # As Amplify's template writes it.
        return "typeName" in members and "fieldName" in members
    return "arguments" in members or not _INFO_NAMES.isdisjoint(json_scan.members(text, info[0]))


def _call_with_headers(text: str) -> ScannedCarrier | None:
    """Of a caller that passes on headers in a form of its own, as Serverless's ``integration:
    lambda`` does.

    Only what stands there is replaced: whoever reads the event expects no other fields.
    """
    lowered = text.lower()
    if not any(f'"{name}"' in lowered for name in NAMES):
        return None
    members = _members_until(text, "headers")
    if not _is_object(text, members.get("headers")):
        return None
    carrier = _carrier(text, members, ("headers",), takes_more=False)
    return carrier if carrier is not None and carrier.headers else None


def _passthrough_event(text: str) -> ScannedCarrier | None:
    """API Gateway's mapping template "method request passthrough".

    It is the user's own: it is read, not written.
    """
    if '"header"' not in text or '"params"' not in text:
        return None
    start = json_scan.after_space(text, 0)
    params = json_scan.members(text, start, "params", start).get("params")
    if params is None or not _is_object(text, params):
        return None
    header = json_scan.members(text, params[0], "header", text.rfind('"header"')).get("header")
    headers = _values_by_name(header[2]) if header is not None else {}
    return ScannedCarrier(text, headers, []) if headers else None


def _members_until(text: str, name: str) -> "dict[str, Member]":
    """The event's members up to `name` and to the last place where headers may stand; none where
    `name` is nowhere.
    """
    if f'"{name}"' not in text:
        return {}
    return json_scan.members(text, json_scan.after_space(text, 0), name, text.rfind(_HEADERS))


def _is_object(text: str, member: "Member | None") -> bool:
    return member is not None and text.startswith("{", member[0])


def _carrier(
    text: str,
    members: "dict[str, Member]",
    may_be: "tuple[str, ...]" = ("headers", "multiValueHeaders"),
    *,
    may_be_null: bool = False,
    takes_more: bool = True,
) -> ScannedCarrier | None:
    """In those of the members of these names that are there."""
    names = [name for name in may_be if name in members]
    objects = [
        _headers_object(text, members[name], name == "multiValueHeaders", may_be_null, takes_more)
        for name in names
    ]
    headers: dict[str, str] = {}
    for name in names:
        headers.update(_values_by_name(members[name][2]))
    return (
        ScannedCarrier(text, headers, [each for each in objects if each] if all(objects) else [])
        if names
        else None
    )


def _headers_object(
    text: str, member: "Member", has_arrays: bool, may_be_null: bool, takes_more: bool
) -> HeadersObject | None:
    start, end, pairs = member
    if pairs is None and may_be_null and end > start:
        return HeadersObject(start, {}, has_arrays, is_empty=True, is_null=True)
    if type(pairs) is not tuple:
        return None
    # VPC Lattice v2 has arrays in `headers` itself. Nobody else has.
    has_arrays = has_arrays or (takes_more and (len(pairs) > 0 and type(pairs[0][1]) is list))
    if not all(map(_is_strings if has_arrays else _is_string, [value for _, value in pairs])):
        return None
    names = [name.lower() for name, _ in pairs]
    spans = {name: _spans(text, start, end, name) for name in NAMES if name in names}
    # A name that is spelled with escapes is not found by its letters.
    if any(len(found) != names.count(name) for name, found in spans.items()):
        return None
    return HeadersObject(start, spans, has_arrays, is_empty=not pairs, takes_more=takes_more)


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


def _spans(text: str, start: int, end: int, name: str) -> "tuple[MemberSpan, ...]":
    """The members of this name, in any case, in the flat object that is `text[start:end]`.

    A quoted name within a string has a backslash before one of its quotes; and only a member's is
    followed by a colon.
    """
    lowered = text[start:end].lower()
    quoted = f'"{name}"'
    spans = []
    span = lowered.find(quoted)
    while span >= 0:
        colon = json_scan.after_space(lowered, span + len(quoted))
        if lowered[colon] == ":" and lowered[span - 1] != "\\":
            value = json_scan.after_space(text, start + colon + 1)
            spans.append((start + span, value, json_scan.outline(text, value)[1]))
        span = lowered.find(quoted, span + 1)
    return tuple(spans)
