"""X-Ray's trace header, case by case; test_propagation_sdk_extraction.py asks OpenTelemetry's own
propagator.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.propagation import xray

ROOT = "Root=1-5759e988-bd862e3fe1be46a994272793"
TRACE_ID = "5759e988bd862e3fe1be46a994272793"
PARENT = "Parent=53995c3f42cd8ad8"
SPAN_ID = "53995c3f42cd8ad8"


def extracted(value: str) -> tuple[str, str, int] | None:
    context = xray.context_of(xray.parse(value))
    return context and (context.trace_id_hex, context.span_id_hex, context.trace_flags)


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (f"{ROOT};{PARENT};Sampled=1", 1),
        (f"{ROOT};{PARENT};Sampled=1;Lineage=a87bd80c:1|68fd508a:5", 1),
        (f"{ROOT};{PARENT};Sampled=0;Lineage=d4d48d4d:0", 0),
        (f"{ROOT};{PARENT}", 0),
        (f"Self=1-67891234-12456789abcdef012345678;{ROOT};{PARENT};Sampled=1", 1),
        (f"Sampled=1;{PARENT};{ROOT}", 1),
        (f" {ROOT} ; {PARENT} ; Sampled = 1 ", 1),
        (f"{ROOT};{PARENT};Sampled=1;Foo=bar", 1),
        (
            f"{ROOT.replace('be46a9', 'BE46A9')};{PARENT.upper().replace('PARENT', 'Parent')};Sampled=1",
            1,
        ),
        (f"Sampled=0;{ROOT};{PARENT};Sampled=1", 1),
    ],
)
def test_a_header_with_root_and_parent_names_a_parent(value: str, flags: int) -> None:
    assert extracted(value) == (TRACE_ID, SPAN_ID, flags)


@pytest.mark.parametrize(
    "value",
    [
        "",
        ROOT,
        f"{ROOT};Lineage=1:73f724a8:0",
        f"{ROOT};{PARENT};Sampled=?",
        f"{ROOT};{PARENT};Sampled=",
        f"{ROOT};{PARENT};Sampled=?;Sampled=1",
        f"{ROOT};{PARENT};Sampled=1;",
        f"{ROOT};{PARENT};Sampled=1;Foo",
        f"{ROOT};{PARENT};Sampled=1;Foo=a=b",
        f"{PARENT};Sampled=1",
        f"Root=2-5759e988-bd862e3fe1be46a994272793;{PARENT};Sampled=1",
        f"Root=1-5759e988-bd862e3fe1be46a99427279;{PARENT};Sampled=1",
        f"Root=1-5759e98g-bd862e3fe1be46a994272793;{PARENT};Sampled=1",
        f"Root=1-5759e98-8bd862e3fe1be46a994272793;{PARENT};Sampled=1",
        f"Root=1-00000000-000000000000000000000000;{PARENT};Sampled=1",
        f"{ROOT};Parent=0000000000000000;Sampled=1",
        f"{ROOT};Parent=53995c3f42cd8ad;Sampled=1",
        f"{ROOT};Parent=53995c3f42cd8adz;Sampled=1",
        "garbage",
        ";;;",
        "=;=",
    ],
)
def test_any_other_header_names_none(value: str) -> None:
    assert extracted(value) is None


def test_what_the_sdk_takes_for_a_number_but_is_no_id_names_no_parent() -> None:
    # Python's int(), which the SDK's propagator calls, takes underscores and a prefix.
    assert extracted(f"Root=1-0x59e988-bd862e3fe1be46a994272793;{PARENT};Sampled=1") is None
    assert extracted(f"{ROOT};Parent=53995c3f_2cd8ad8;Sampled=1") is None


def test_a_header_that_names_no_parent_still_tells_its_root_and_lineage() -> None:
    header = xray.parse("Root=1-67d448e8-90a0b0c0d0e0f0a0b0c0d0e0;Lineage=1:73f724a8:0")
    assert header.trace_id_hex == "67d448e890a0b0c0d0e0f0a0b0c0d0e0"
    assert header.parent_id_hex == ""
    assert header.sampled is None
    assert header.lineage == "1:73f724a8:0"

    header = xray.parse(f"{ROOT};{PARENT};Sampled=?;Foo;Lineage=a:1")
    assert header.trace_id_hex == TRACE_ID
    assert header.parent_id_hex == SPAN_ID
    assert header.sampled is None
    assert header.lineage == "a:1"
    assert not header.is_well_formed


@pytest.mark.parametrize("lineage", ["a:1\r\nEvil: yes", "ä:1", "a=1", "a\x00"])
def test_a_lineage_that_could_break_the_header_it_goes_into_is_dropped(lineage: str) -> None:
    assert xray.parse(f"{ROOT};{PARENT};Sampled=1;Lineage={lineage}").lineage == ""


@pytest.mark.parametrize(
    ("flags", "lineage", "written"),
    [
        (1, "", f"{ROOT};{PARENT};Sampled=1"),
        (2, "", f"{ROOT};{PARENT};Sampled=0"),
        (3, "d4d48d4d:0", f"{ROOT};{PARENT};Sampled=1;Lineage=d4d48d4d:0"),
    ],
)
def test_a_header_is_written_as_every_reader_wants_it(
    flags: int, lineage: str, written: str
) -> None:
    assert xray.format_header(TRACE_ID, SPAN_ID, flags, lineage.encode()) == written.encode()
    assert extracted(written) == (TRACE_ID, SPAN_ID, flags & 1)
    assert xray.parse(written).lineage == lineage


PARTS = st.sampled_from(
    [
        ROOT,
        PARENT,
        "Sampled=1",
        "Sampled=0",
        "Sampled=?",
        "Lineage=a:1",
        "Self=1",
        "",
        "=",
        "Root",
        "a=b=c",
        " Root =x",
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(PARTS, max_size=6).map(";".join)))
def test_no_header_raises_and_what_is_written_from_it_is_read_again(value: str) -> None:
    header = xray.parse(value)
    trace_id_hex, span_id_hex = header.trace_id_hex or TRACE_ID, header.parent_id_hex or SPAN_ID
    written = xray.format_header(trace_id_hex, span_id_hex, 1, header.lineage.encode())
    again = xray.parse(written.decode())
    assert again.is_well_formed
    assert (again.trace_id_hex, again.parent_id_hex, again.sampled) == (
        trace_id_hex,
        span_id_hex,
        True,
    )
    assert again.lineage == header.lineage


LINEAGES = st.sampled_from(
    [
        "",
        ";Lineage=a:1",
        ";Lineage=",
        ";Lineage=a b",
        ";Lineage=a=b",
        ";Lineage=a;b",
        ";Self=1",
        ";",
        "é",
    ]
)


@given(
    st.from_regex(
        r"Root=1-[0-9a-fA0]{7,9}-[0-9a-f0]{24};Parent=[0-9af]{16};Sampled=[01?]?", fullmatch=True
    ),
    LINEAGES,
)
def test_the_form_that_lambda_writes_is_read_as_any_other(usual: str, lineage: str) -> None:
    header = xray.parse(usual + lineage)
    again = xray.parse(f"Self=1;{usual}{lineage}")
    for name in ("trace_id_hex", "parent_id_hex", "sampled", "lineage", "is_well_formed"):
        assert getattr(header, name) == getattr(again, name)


@pytest.mark.parametrize("junk", ["\u0394junk", ";\u0394", "0", " ", ";Lineage=\u0394"])
def test_what_follows_a_header_in_whatever_script_is_read_as_in_any_other_place(junk: str) -> None:
    value = f"{ROOT};{PARENT};Sampled=1"
    header, reordered = xray.parse(value + junk), xray.parse(f"{PARENT};{ROOT};Sampled=1{junk}")
    for name in xray.XRayHeader.__slots__:
        assert getattr(header, name) == getattr(reordered, name)
