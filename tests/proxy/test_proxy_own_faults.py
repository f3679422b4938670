"""What goes wrong on our side stays there: the function has its event, its result and its
connection.

One test breaks every function of ours that a connection's thread calls, one after the other, as it
begins and as it ends, but for those that pass the bytes on. Nothing is patched: the interpreter's
own trace raises in the function.
"""

from __future__ import annotations

import _socket
import _thread
import re
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from lrap_otel.http1.errors import CLIENT
from lrap_otel.http1.stream import Stream
from lrap_otel.proxy.exchange import Exchange
from lrap_otel.proxy.recorder import Recorder
from lrap_otel.sandbox.invocations import Invocations
from tests.proxy.wire import (
    ACCEPTED,
    NEXT,
    PING,
    chunked,
    deliver,
    event,
    post,
    post_head,
    result_target,
    without_trace,
)
from tests.upstream import Peer, connect, field

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any

    from lrap_otel.proxy.polls import Event
    from tests.proxy.conftest import Proxy, Start
    from tests.upstream import Upstream

# What passes the bytes on, and what it is made of. A fault in one of these is one of the proxy
# itself.
PASSES_ON = {
    "exchange": "Exchange Exchange.__init__ Exchange.serve Exchange._serve_call Exchange._forward_other "
    "Exchange._deliver_event Exchange._wait_for_answer Exchange._send_event Exchange._leave_untraced Exchange._forward_result "
    "Exchange._forward_init_error Exchange._restore Exchange._take_restore Exchange._say_hello",
    "calls": "ParsedCall.__init__",
    "replies": "ParsedReply.__init__",
    "capture": "Capture.__init__ Capture.reset",
    "recorder": "Recorder.observe Recorder.attempt Recorder.prepare Recorder.capture "
    "Recorder.runtime_polls_again Recorder.notify Recorder.open Recorder.delivered Recorder.finished Recorder.count "
    "_place_of",
}
# Of these all.
FILES_THAT_PASS_ON = {"relay", "polls", "upstream"}
# A few that have to be among those that are broken, so that the test cannot become empty.
OBSERVING = {
    "Tracer.prepare", "Tracer.learn", "Invocations.open", "Invocations.find", "Invocations.finish", "Invocations.notify",
    "Invocations.notify_observer", "Invocations.runtime_polls_again", "Invocations.connection_ended", "_Kind.recognise",
    "_Kind.learn", "HeadTemplates.remember", "RecognisedHead.rewritten", "ParsedReply.rewritten", "of_event",
    "Capture.add", "Channel.offer", "_builder.<locals>.build", "watched", "encode", "find",
    "EventTemplates.find", "EventTemplates.learn", "PatternCompiler.compile",
}  # fmt: skip

FIELDS = b"Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0\r\n"
HTTP = b'{"headers":{"Host":"a","x":"y"},"requestContext":{"http":{}},"rawPath":"/","body":"%s","isBase64Encoded":false}'
INIT_ERROR = post(b"/2018-06-01/runtime/init/error", b'{"errorType":"Runtime.Unknown"}')
RESTORE = NEXT.replace(b"/invocation/next", b"/restore/next")
HELLO = b"GET /lrap-otel/hello HTTP/1.1\r\nHost: 127.0.0.1\r\nLrap-Runtime-Pid: 1\r\n\r\n"
INJECTED = re.compile(rb'"(traceparent|x-amzn-trace-id)":"[^"]*",')
RESTORED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"


class Fault:
    """Raises in one function, as it begins or as it ends; without a code it notes which functions
    are called.
    """

    def __init__(self, code: CodeType | None, at_end: bool, kind: type[BaseException]) -> None:
        self.code = code
        self.at = "return" if at_end else "call"
        self.kind = kind
        self.called: dict[CodeType, None] = {}
        self.is_raised = False

    def trace(self, frame: FrameType, what: str, argument: object) -> Any:
        code = frame.f_code
        if self.code is None:
            if is_ours(code):
                self.called[code] = None
            return None
        if code is not self.code:
            return None
        if what == self.at:
            self.is_raised = True
            raise self.kind("a fault of our own")
        return self.trace


def is_ours(code: CodeType) -> bool:
    """Code of the package that is more than passing the bytes on."""
    _, is_there, path = code.co_filename.rpartition("/lrap_otel/")
    stem = path.rpartition("/")[2].removesuffix(".py")
    if not is_there or path.startswith("http1/") or stem in {"event_fd", "log"}:
        return False
    if path.startswith("proxy/") and stem in FILES_THAT_PASS_ON:
        return False
    return not (path.startswith("proxy/") and name_of(code) in PASSES_ON.get(stem, "").split())


def name_of(code: CodeType) -> str:
    """The qualified name, which Python 3.10 does not tell."""
    return getattr(code, "co_qualname", "") or code.co_name


class Line:
    """One runtime connection, served in a thread that the test starts, so that it can trace it."""

    def __init__(self, proxy: Proxy, upstream: Upstream, fault: Fault) -> None:
        self.proxy, self.upstream, self.fault = proxy, upstream, fault
        self.api: Peer | None = None
        self.seen: list[object] = []
        self.error: BaseException | None = None
        self.connect()

    def connect(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.runtime = connect(listener.getsockname()[1])
            far, _ = listener.accept()
        self.end = _thread.allocate_lock()
        self.end.acquire()
        _thread.start_new_thread(self._serve, (far,))

    def _serve(self, far: socket.socket) -> None:
        try:
            exchange = Exchange(
                Stream(_socket.socket(fileno=far.detach()), CLIENT), self.proxy.sandbox
            )
            sys.settrace(self.fault.trace)
            exchange.serve()
        except BaseException as error:  # noqa: BLE001 - reported by the test
            self.error = error
        finally:
            sys.settrace(None)
            self.end.release()

    def call(self, request: bytes, reply: bytes) -> None:
        """A call and its answer, as both ends see them, less the trace context."""
        self.runtime.send(request)
        self.api = self.api or self.upstream.accept()
        self.seen.append(self.api.read(len(request)))
        self.api.send(reply)
        head, body = self.runtime.read_message()
        self.seen += [without_trace(head), INJECTED.sub(b"", body), field(head, "connection")]

    def hello(self) -> None:
        self.runtime.send(HELLO)
        self.seen.append(self.runtime.read_to_end())

    def end_in_order(self) -> None:
        """The runtime ends; nothing of ours is left waiting for it."""
        self.runtime.end()
        self.seen.append(self.runtime.read_to_end())
        assert self.end.acquire(timeout=5)
        assert self.error is None


def cycle(line: Line, request_id: bytes, body: bytes, result: bytes) -> None:
    line.call(NEXT, event(request_id, body, FIELDS))
    line.call(result, ACCEPTED)


def one_event(line: Line) -> None:
    cycle(line, b"long-0", b'{"n":1}', post(result_target(b"long-0"), b"{}"))
    line.call(NEXT, event(b"long-1", HTTP % (b"b" * 20_000), FIELDS))
    error = post_head(
        result_target(b"long-1", b"error"), b"Transfer-Encoding: chunked\r\n"
    ) + chunked(b'{"a":1}', 3)
    line.call(error, ACCEPTED)
    line.call(PING, ACCEPTED)


def many_events(line: Line) -> None:
    for number in range(5):
        request_id = b"short-%d" % number
        cycle(line, request_id, HTTP % b"b", post(result_target(request_id), b"{}"))


def others(line: Line) -> None:
    line.call(INIT_ERROR, ACCEPTED)
    line.call(RESTORE, RESTORED)
    line.api = None  # after a restore, connections are made anew
    line.hello()


SCENARIOS = {"first calls": one_event, "recognised calls": many_events, "the other calls": others}
KINDS = [ZeroDivisionError, MemoryError, RecursionError, SystemExit]


def run(
    start: Start, upstream: Upstream, scenario: Callable[[Line], None], fault: Fault
) -> tuple[list[object], Proxy]:
    proxy = start()
    proxy.invocations.observer = lambda: None
    line = Line(proxy, upstream, fault)
    scenario(line)
    line.end_in_order()
    return line.seen, proxy


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
@pytest.mark.parametrize("at_end", [False, True], ids=["as it begins", "as it ends"])
def test_no_fault_of_ours_is_noticed_by_the_function(
    start: Start, upstream: Upstream, scenario: Callable[[Line], None], at_end: bool
) -> None:
    whole = Fault(None, at_end, ZeroDivisionError)
    expected, proxy = run(start, upstream, scenario, whole)
    assert proxy.sandbox.recorder.failures == 0
    broken = 0
    for number, code in enumerate(whole.called):
        fault = Fault(code, at_end, KINDS[number % len(KINDS)])
        try:
            seen, _ = run(start, upstream, scenario, fault)
        except (OSError, EOFError, AssertionError) as error:
            pytest.fail(
                f"{name_of(code)} of {code.co_filename} raised {fault.kind.__name__}: {error!r}"
            )
        assert seen == expected, f"{name_of(code)} of {code.co_filename}"
        broken += fault.is_raised
    assert broken > 5


def test_everything_that_observes_is_among_what_is_broken(start: Start, upstream: Upstream) -> None:
    called = set()
    for scenario in SCENARIOS.values():
        fault = Fault(None, False, ZeroDivisionError)
        run(start, upstream, scenario, fault)
        called |= {name_of(code) for code in fault.called}
    names = (
        {name.rpartition(".")[2] for name in OBSERVING} if sys.version_info < (3, 11) else OBSERVING
    )
    assert names <= called


class BrokenTracer:
    """A tracer with a mistake in it."""

    def prepare(self, event: Event, now_ns: int, closes: bool) -> Event:
        raise ZeroDivisionError


def test_an_event_goes_on_as_it_came_when_our_own_code_fails(
    proxy: Proxy, upstream: Upstream, capfd: pytest.CaptureFixture[str]
) -> None:
    proxy.sandbox.tracer = BrokenTracer()  # type: ignore[assignment]
    runtime, api, head, body = deliver(proxy, upstream)
    assert head + body == event()
    assert not proxy.has_record()
    # It came through us, so whoever waits for its result does, and nobody looks for the wrapper.
    request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
    assert proxy.invocations.is_open(request_id)
    request = post(result_target(), b"{}")
    runtime.send(request)
    assert api.read(len(request)) == request
    api.send(ACCEPTED)
    assert runtime.read(len(ACCEPTED)) == ACCEPTED
    deliver(proxy, upstream)
    assert proxy.invocations.was_delivered(request_id)
    assert proxy.sandbox.recorder.failures == 2
    said = capfd.readouterr().err
    assert said.count("ZeroDivisionError at test_proxy_own_faults.py:") == 1


def test_what_is_no_exception_ends_in_the_guard_as_well(capfd: pytest.CaptureFixture[str]) -> None:
    recorder = Recorder(Invocations(), None)

    def leave() -> None:
        sys.exit(3)

    assert recorder.observe(leave) is None
    assert recorder.observe(lambda: 1) == 1
    assert recorder.failures == 1
    assert "SystemExit at test_proxy_own_faults.py:" in capfd.readouterr().err


def test_an_event_reaches_the_runtime_when_the_channel_is_full(
    proxy: Proxy, upstream: Upstream
) -> None:
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
