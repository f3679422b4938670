"""What goes wrong on our side stays there: the function has its event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.proxy.wire import ACCEPTED, deliver, event, post, result_target

if TYPE_CHECKING:
    import pytest

    from lrap_otel.proxy.delivery import Delivery
    from lrap_otel.proxy.polls import Event
    from tests.proxy.conftest import Proxy
    from tests.upstream import Upstream


class BrokenTracer:
    """A tracer with a mistake in it."""

    def prepare(self, event: Event, now_ns: int, *, closes: bool) -> Delivery:
        raise ZeroDivisionError


def test_an_event_goes_on_as_it_came_when_our_own_code_fails(
    proxy: Proxy, upstream: Upstream, capfd: pytest.CaptureFixture[str]
) -> None:
    proxy.sandbox.tracer = BrokenTracer()  # type: ignore[assignment]
    runtime, api, head, body = deliver(proxy, upstream)
    assert head + body == event()
    assert not proxy.has_record()
    request = post(result_target(), b"{}")
    runtime.send(request)
    assert api.read(len(request)) == request
    api.send(ACCEPTED)
    assert runtime.read(len(ACCEPTED)) == ACCEPTED
    deliver(proxy, upstream)
    assert proxy.sandbox.failures == 2
    assert capfd.readouterr().err.count("ZeroDivisionError") == 1


def test_an_event_reaches_the_runtime_when_the_channel_is_full(proxy: Proxy, upstream: Upstream) -> None:
    while not proxy.channel.dropped:
        proxy.channel.offer((5, (1,)), b"x" * 4_096)
    dropped = proxy.channel.dropped
    assert deliver(proxy, upstream, event(body=b"x" * 1_000_000))[3] == b"x" * 1_000_000
    assert deliver(proxy, upstream)[3] == b'{"n":1}'
    while proxy.has_record():
        proxy.record()
    assert proxy.channel.dropped == dropped + 2


def test_an_event_reaches_the_runtime_when_the_telemetry_process_is_gone(proxy: Proxy, upstream: Upstream) -> None:
    proxy.channel.far.close()
    assert deliver(proxy, upstream)[3] == b'{"n":1}'
