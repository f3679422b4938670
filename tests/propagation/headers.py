"""Generated headers: what callers send, what nearly is what they send, and garbage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T", bound=Callable[..., None])


def examples(count: int) -> Callable[[T], T]:
    """Try a test on so many inputs, however busy the machine is."""
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# Two traces and two spans, so that headers of one trace meet; and ids that are none.
TRACE_IDS = (
    "0af7651916cd43dd8448eb211c80319c",
    "5759e988bd862e3fe1be46a994272793",
    "0" * 32,
    "64fe8b2a57d3eff7",
)
SPAN_IDS = ("b7ad6b7169203331", "53995c3f42cd8ad8", "0" * 16)
LETTERS = "0123456789abcdefABCDEFgxz-_=;,. \t\n\x00\x7fé٣~@/*"


@st.composite
def _spoiled(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    """A value of these, half of them with a character or two too many, missing or wrong."""
    value = draw(values)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        position = draw(st.integers(0, len(value)))
        letter = draw(st.sampled_from(["", *LETTERS]))
        value = value[:position] + letter + value[position + draw(st.sampled_from([0, 1])) :]
    return draw(st.sampled_from([value] * 7 + [value.upper(), value + value, f" {value}\t"]))


def _ids(ids: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Mostly the first two."""
    return st.sampled_from([*ids[:2] * 6, *ids, ids[0].upper(), ids[1][1:], ids[0] + "0", ""])


_VERSIONS = st.sampled_from(["00"] * 6 + ["01", "cc", "fe", "ff", "0", "000", "0g"])
_FLAGS = st.sampled_from(["00", "01", "02", "03", "ff", "fe", "8a", "1", "001", ""])
_BEHIND = st.sampled_from([""] * 6 + ["-", "-x", "-what-the-future-brings", ".x", "0", " -", "-\t"])
TRACEPARENTS = st.one_of(
    st.builds(
        "{}-{}-{}-{}{}".format,
        st.sampled_from(["00", "00", "00", "01", "fe", "ff"]),
        st.sampled_from(TRACE_IDS[:2]),
        st.sampled_from(SPAN_IDS[:2]),
        st.sampled_from(["00", "01", "02", "03", "ff"]),
        st.sampled_from(["", "", "", "-", ".", " ", "-x"]),
    ),
    _spoiled(
        st.tuples(_VERSIONS, _ids(TRACE_IDS), _ids(SPAN_IDS), _FLAGS, _BEHIND).map(
            lambda part: "-".join(part[:4]) + part[4]
        )
    ),
)

_KEYS = st.one_of(
    st.sampled_from(
        [
            *["foo", "bar", "0tenant@system", "a", "a@b", "z" * 256, "t" * 241 + "@" + "v" * 14]
            * 3,
            "z" * 257,
            "t" * 242 + "@v",
        ]
    ),
    st.text("ab0@_-*/A .", max_size=5),
)
_VALUES = st.one_of(
    st.sampled_from(["1", "", "v" * 256, "v" * 257, " 1", "1 "]),
    st.text(" ab=~\t\x7fé", max_size=4),
)
_MEMBERS = st.one_of(
    st.builds("{}={}".format, _KEYS, _VALUES),
    st.sampled_from(["", " ", "foo=1", "bar=2", "foo", "=", "\t x=y \t"]),
)
TRACESTATES = st.one_of(
    st.lists(_MEMBERS, max_size=5).map(",".join),
    st.integers(30, 35).map(
        lambda count: ",".join(f"k{number}={number}" for number in range(count))
    ),
    st.integers(248, 251).map(
        lambda length: ",".join(f"bar{number:02}={'v' * length}" for number in range(32))
    ),
)

_SAMPLED = st.sampled_from(["0", "1", "1", "d", "true", "True", "false", "", "2", "0 ", "?"])
B3_SINGLES = st.one_of(
    _spoiled(st.tuples(_ids(TRACE_IDS), _ids(SPAN_IDS), _SAMPLED).map("-".join)),
    st.tuples(_ids(TRACE_IDS), _ids(SPAN_IDS)).map("-".join),
    st.tuples(_ids(TRACE_IDS), _ids(SPAN_IDS), _SAMPLED, _ids(SPAN_IDS)).map("-".join),
    st.sampled_from(["", "0", "1", "d", "-", "----"]),
)

_ROOTS = st.builds(
    "Root={}-{}-{}".format,
    st.sampled_from(["1"] * 9 + ["2", ""]),
    st.sampled_from(["5759e988", "0af76519"] * 4 + ["00000000", "5759E988", "5759e98", "0x59e988"]),
    st.sampled_from(
        ["bd862e3fe1be46a994272793", "16cd43dd8448eb211c80319c"] * 4
        + ["0" * 24, "bd862e3f_1be46a994272793"]
    ),
)
_PARENTS = st.builds("Parent={}".format, _ids(SPAN_IDS))
_XRAY_SAMPLED = st.builds(
    "Sampled={}".format, st.sampled_from(["1"] * 6 + ["0", "0", "?", "", "2"])
)
_OTHERS = st.sampled_from(
    [
        *["Lineage=a87bd80c:1|68fd508a:5", "Self=1-67891234-12456789abcdef012345678", " Foo = x "]
        * 3,
        "",
        "a=b=c",
    ]
)
XRAYS = st.one_of(
    st.builds(
        "Root=1-{};Parent={};Sampled={}".format,
        st.sampled_from([f"{trace_id[:8]}-{trace_id[8:]}" for trace_id in TRACE_IDS[:2]]),
        st.sampled_from(SPAN_IDS[:2]),
        st.sampled_from("011"),
    ),
    _spoiled(st.tuples(_ROOTS, _PARENTS, _XRAY_SAMPLED).map(";".join)),
    st.tuples(_ROOTS, _PARENTS, _XRAY_SAMPLED, _OTHERS).flatmap(st.permutations).map(";".join),
    st.tuples(_ROOTS, _PARENTS).map(";".join),
    st.tuples(_ROOTS, _OTHERS).map(";".join),
    st.lists(st.one_of(_ROOTS, _PARENTS, _XRAY_SAMPLED, _OTHERS), max_size=6).map(";".join),
)

HEADERS: dict[str, st.SearchStrategy[str]] = {
    "traceparent": TRACEPARENTS,
    "tracestate": TRACESTATES,
    "baggage": st.sampled_from(["", "user=1", "user=1,=,;", "a=%C3%A9"]),
    "b3": B3_SINGLES,
    "x-b3-traceid": st.one_of(_ids(TRACE_IDS), _spoiled(_ids(TRACE_IDS))),
    "x-b3-spanid": st.one_of(_ids(SPAN_IDS), _spoiled(_ids(SPAN_IDS))),
    "x-b3-sampled": _SAMPLED,
    "x-b3-flags": st.sampled_from(["0", "1", "", "2"]),
    "x-amzn-trace-id": XRAYS,
}

# What callers with an SDK send: several notations at once, for one trace or for two.
GOOD_HEADERS: dict[str, st.SearchStrategy[str]] = {
    "traceparent": st.builds(
        "00-{}-{}-0{}".format,
        st.sampled_from(TRACE_IDS[:2]),
        st.just(SPAN_IDS[0]),
        st.integers(0, 3),
    ),
    "tracestate": st.just("foo=1,bar=2"),
    "b3": st.builds(
        "{}-{}-{}".format, st.sampled_from(TRACE_IDS[:2]), st.just("c" * 16), st.sampled_from("01d")
    ),
    "x-amzn-trace-id": st.builds(
        "Root=1-{};Parent={};Sampled={}".format,
        st.sampled_from([f"{trace_id[:8]}-{trace_id[8:]}" for trace_id in TRACE_IDS[:2]]),
        st.just(SPAN_IDS[1]),
        st.sampled_from("01"),
    ),
}

_NAMES = ["tracecontext", "baggage", "b3", "b3multi", "xray", "xray-lambda"]
PROPAGATOR_LISTS = st.one_of(
    st.sampled_from([[name] for name in _NAMES]),
    st.lists(st.sampled_from(_NAMES), min_size=2, max_size=6, unique=True),
    st.lists(st.sampled_from([*_NAMES, "none"]), min_size=1, max_size=3, unique=True),
)
