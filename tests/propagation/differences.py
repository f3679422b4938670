"""Where our answer is not the SDK's: each case with both answers and the reason, and the mark by
which its kind is known.

Outside these marks the answers are the same for whatever is generated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tests.propagation.oracle import extracted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.propagation.oracle import Found

W3C_TRACE, W3C_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{W3C_TRACE}-{W3C_SPAN}-01"
XRAY_TRACE, XRAY_SPAN = "5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
XRAY = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
BY_W3C: Found = (W3C_TRACE, W3C_SPAN, 1, "")
BY_XRAY: Found = (XRAY_TRACE, XRAY_SPAN, 1, "")


# W3C Trace Context, "Key", of both levels.
_LEVEL_1 = re.compile(
    "[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}"
)
_LEVEL_2 = re.compile("[a-z0-9][a-z0-9_*/@-]{0,255}")


def has_key_of_level_2(tracestate: str) -> bool:
    """A key in it that the SDK, which follows level 1, refuses with all the others."""
    keys = [member.strip(" \t").partition("=")[0] for member in tracestate.split(",")]
    return any(_LEVEL_2.fullmatch(key) and not _LEVEL_1.fullmatch(key) for key in keys)


class Difference(NamedTuple):
    """One case; `covers` tells whether headers and the runtime's own header are of its kind."""

    name: str
    reason: str
    propagators: str
    headers: dict[str, str]
    runtime_trace_id: str
    by_the_sdk: Found | None
    by_us: Found | None
    covers: Callable[[Sequence[str], Mapping[str, str], str], bool]


def _reads(names: Sequence[str], notation: str) -> bool:
    return any(name.startswith(notation) for name in names)


def _b3_parts(headers: Mapping[str, str]) -> list[str]:
    single = headers.get("b3", "").split("-")[:2]
    return [*single, headers.get("x-b3-traceid", ""), headers.get("x-b3-spanid", "")]


def _has_lenient_id(value: str) -> bool:
    """X-Ray ids that are no hex digits but that Python's int() reads, or half reads, as
    a number.
    """
    fields = [part.partition("=") for part in value.split(";")]
    ids = [text.strip() for key, _, text in fields if key.strip() in {"Root", "Parent"}]
    return any(text.strip("0123456789abcdefABCDEF-") for text in ids) or any(
        "--" in text or text.count("-") > 2 for text in ids
    )


def is_decided(runtime_trace_id: str) -> bool:
    """Lambda's own header names a span that X-Ray records; to the SDK any span that it names is a
    parent.
    """
    named = extracted(["xray"], {"x-amzn-trace-id": runtime_trace_id})
    return named is not None and named[2] == 1


ALL = [
    Difference(
        "a line feed behind a traceparent",
        "W3C: nothing but what the grammar has; the SDK's pattern ends before a final line feed, and within a later version's rest",
        "tracecontext",
        {"traceparent": f"{TRACEPARENT}\n"},
        "",
        BY_W3C,
        None,
        lambda names, headers, runtime: (
            "tracecontext" in names and "\n" in headers.get("traceparent", "")
        ),
    ),
    Difference(
        "a line feed in what a later version appends",
        "W3C: what a later version appends is not looked at",
        "tracecontext",
        {"traceparent": f"cc{TRACEPARENT[2:]}-a\nb"},
        "",
        None,
        BY_W3C,
        lambda names, headers, runtime: (
            "tracecontext" in names and "\n" in headers.get("traceparent", "")
        ),
    ),
    Difference(
        "a later version's traceparent of more than 512 characters",
        "W3C: a later version may append what it likes; the SDK has a limit",
        "tracecontext",
        {"traceparent": f"cc{TRACEPARENT[2:]}-{'x' * 500}"},
        "",
        None,
        BY_W3C,
        lambda names, headers, runtime: (
            "tracecontext" in names and len(headers.get("traceparent", "")) > 512
        ),
    ),
    Difference(
        "a tracestate key of level 2",
        "W3C, level 2: a key may begin with a digit and have @ anywhere; the SDK follows level 1",
        "tracecontext",
        {"traceparent": TRACEPARENT, "tracestate": "1abc=x,vendor@=y"},
        "",
        BY_W3C,
        (W3C_TRACE, W3C_SPAN, 1, "1abc=x,vendor@=y"),
        lambda names, headers, runtime: (
            "tracecontext" in names and has_key_of_level_2(headers.get("tracestate", ""))
        ),
    ),
    Difference(
        "b3 digits of other scripts",
        "B3: hex digits; the SDK's pattern and int() take every Unicode digit",
        "b3",
        {"b3": f"{'٣' * 32}-{'٣' * 16}-1"},
        "",
        ("3" * 32, "3" * 16, 1, ""),
        None,
        lambda names, headers, runtime: (
            _reads(names, "b3") and not "".join(_b3_parts(headers)).isascii()
        ),
    ),
    Difference(
        "b3 ids of all zeros after another propagator found a parent",
        "OpenTelemetry specification, Extract: what cannot be parsed leaves the context as it was; the SDK replaces the parent by an invalid one",
        "tracecontext,b3",
        {"traceparent": TRACEPARENT, "b3": f"{'0' * 32}-{'0' * 16}-1"},
        "",
        None,
        BY_W3C,
        lambda names, headers, runtime: (
            _reads(names, "b3")
            and len(names) > 1
            and any(part and not part.strip("0") for part in _b3_parts(headers))
        ),
    ),
    Difference(
        "an X-Ray id that is no hex but a number to Python",
        "X-Ray: hex digits; the SDK asks int(), which takes 0x, underscores, signs, blanks and every Unicode digit",
        "xray",
        {"x-amzn-trace-id": XRAY.replace("5759e988", "0x59e988")},
        "",
        ("0059e988" + XRAY_TRACE[8:], XRAY_SPAN, 1, ""),
        None,
        lambda names, headers, runtime: (
            _reads(names, "xray")
            and (_has_lenient_id(headers.get("x-amzn-trace-id", "")) or _has_lenient_id(runtime))
        ),
    ),
    Difference(
        "a tracestate beside an X-Ray header of the same trace",
        "W3C: tracestate goes on with its trace; the SDK's X-Ray propagator drops it",
        "tracecontext,xray",
        {
            "traceparent": f"00-{XRAY_TRACE}-{W3C_SPAN}-01",
            "tracestate": "vendor=1",
            "x-amzn-trace-id": XRAY,
        },
        "",
        BY_XRAY,
        (XRAY_TRACE, XRAY_SPAN, 1, "vendor=1"),
        lambda names, headers, runtime: (
            "tracecontext" in names
            and _reads(names, "xray")
            and bool(headers.get("tracestate"))
            and headers.get("x-amzn-trace-id", "")
            .lower()
            .replace("-", "")
            .find(headers.get("traceparent", "").strip()[3:35])
            > 0
        ),
    ),
    Difference(
        "a runtime's header that says Sampled=0",
        "Lambda writes it, with a made-up Parent, where X-Ray does not trace the function: nobody decided that",
        "xray-lambda",
        {},
        XRAY.replace("Sampled=1", "Sampled=0"),
        (XRAY_TRACE, XRAY_SPAN, 0, ""),
        None,
        lambda names, headers, runtime: (
            "xray-lambda" in names and bool(runtime) and not is_decided(runtime)
        ),
    ),
]


def covered(names: Sequence[str], headers: Mapping[str, str], runtime_trace_id: str) -> bool:
    """The SDK may say otherwise here."""
    return any(difference.covers(names, headers, runtime_trace_id) for difference in ALL)
