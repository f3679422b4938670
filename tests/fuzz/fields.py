"""What is spliced in: the trace fields that the proxy may have to write."""

from __future__ import annotations

import zlib

_TRACEPARENT = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
_XRAY = (
    "x-amzn-trace-id",
    "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1",
)
KEEPS_ITS_SPELLING = "x-amzn-trace-id"
# What the proxy may have to write, by what is configured.
FIELDS = (
    (_TRACEPARENT, _XRAY),
    (_TRACEPARENT, _XRAY, ("tracestate", 'a="1",b=\\\u00e9')),
    (
        _TRACEPARENT,
        _XRAY,
        ("tracestate", "a=1"),
        ("b3", "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1"),
    ),
    (
        _TRACEPARENT,
        _XRAY,
        ("x-b3-traceid", "0af7651916cd43dd8448eb211c80319c"),
        ("x-b3-spanid", "b7ad6b7169203331"),
        ("x-b3-sampled", "1"),
    ),
)


# What must not stay as it was beside which field.
STALE = {"tracestate": "traceparent", "b3": "x-b3-traceid", "x-b3-flags": "x-b3-traceid"}


def fields_for(data: bytes) -> dict[str, str]:
    """One of `FIELDS`, the same for the same bytes."""
    return dict(FIELDS[zlib.crc32(data) % len(FIELDS)])


def stale_with(fields: dict[str, str]) -> dict[str, str]:
    """`fields`, and empty what would contradict them."""
    return {
        name: "" for name, other in STALE.items() if other in fields and name not in fields
    } | fields
