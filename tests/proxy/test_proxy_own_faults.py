"""What goes wrong on our side stays there: the function has its event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.proxy.wire import ACCEPTED, PING, deliver, event, post, result_target

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
    for size in (4_096, 0):
        while proxy.channel.offer((5, (1,)), b"x" * size):
            pass
    dropped = proxy.channel.dropped
    for reply, expected in ((event(body=b"x" * 1_000_000), b"x" * 1_000_000), (None, b'{"n":1}')):
        runtime, api, _, body = deliver(proxy, upstream, reply)
        assert body == expected
        # The event's record has been offered when the next call of the same runtime is served.
        runtime.send(PING)
        assert api.read(len(PING)) == PING
    while proxy.has_record():
        proxy.record()
    assert proxy.channel.dropped == dropped + 2
