"""The client context of a direct invocation carries trace context in both directions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lrap_otel.ipc import records
from tests.proxy.wire import deliver, event
from tests.upstream import field

if TYPE_CHECKING:
    from tests.proxy.conftest import Proxy
    from tests.upstream import Upstream

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def delivered_with(
    proxy: Proxy, upstream: Upstream, client_context: bytes
) -> tuple[bytes | None, records.Delivered]:
    _, _, head, _ = deliver(
        proxy, upstream, event(fields=b"Lambda-Runtime-Client-Context: %s\r\n" % client_context)
    )
    record = proxy.record()
    assert isinstance(record, records.Delivered)
    return field(head, "lambda-runtime-client-context"), record


@pytest.mark.parametrize("member", ["w3c", "custom"])
def test_the_callers_span_in_a_client_context_is_the_parent(
    proxy: Proxy, upstream: Upstream, member: str
) -> None:
    sent = json.dumps({"client": {"app": 1}, member: {"traceparent": TRACEPARENT}}).encode()
    received, record = delivered_with(proxy, upstream, sent)
    assert (record.trace_id_hex, record.parent_span_id_hex) == (
        TRACEPARENT[3:35],
        TRACEPARENT[36:52],
    )
    context = json.loads(received or b"")
    assert context[member]["traceparent"] == f"00-{record.trace_id_hex}-{record.span_id_hex}-01"
    assert context["w3c"]["traceparent"] == f"00-{record.trace_id_hex}-{record.span_id_hex}-01"
    assert context["client"] == {"app": 1}


@pytest.mark.parametrize("sent", [b"not JSON", b"[1]", b'"text"', b'{"w3c":', b"\xff"])
def test_a_client_context_that_is_no_object_passes_as_it_is(
    proxy: Proxy, upstream: Upstream, sent: bytes
) -> None:
    assert delivered_with(proxy, upstream, sent)[0] == sent


def test_an_empty_client_context_stays_empty_and_an_absent_one_absent(
    proxy: Proxy, upstream: Upstream
) -> None:
    assert delivered_with(proxy, upstream, b"")[0] == b""
    _, _, head, _ = deliver(proxy, upstream)
    assert b"client-context" not in head.lower()
