"""G8: one span for each invocation, however it ends, with the ids that the function saw; proxy and
telemetry process at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from lrap_otel.ipc import records
from lrap_otel.telemetry.worker import serve
from tests.proxy.conftest import Proxy
from tests.proxy.wire import ACCEPTED, NEXT, PING, event, post, result_target
from tests.telemetry.otlp_collector import PATIENCE_S
from tests.telemetry.proxy_records import VARIABLES
from tests.telemetry.telemetry_thread import Telemetry, plain, spans_of
from tests.upstream import Upstream, field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from tests.telemetry.otlp_collector import Collector
    from tests.upstream import Peer

REQUEST_ID = b"8476a536-e9f4-11e8-9739-2dfe598c3fcd"
TOO_LARGE = b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
ERROR = b'{"errorType":"KeyError","errorMessage":"no such pet","stackTrace":[]}'


class Both(Telemetry):
    """A proxy between a runtime and a Runtime API, and the telemetry process that reads its
    records.
    """

    def __init__(self, collector: Collector) -> None:
        self.upstream = Upstream()
        self.proxy = Proxy(self.upstream.port)
        self.channel = self.proxy.channel
        self.channel.near.settimeout(PATIENCE_S)
        self.warnings: list[str] = []
        self._number = 0
        variables = VARIABLES | {b"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url.encode()}
        self._thread = threading.Thread(target=serve, args=(self.channel.far, variables))
        self._thread.start()
        assert self.reply()[0] == records.READY
        self._collector = collector
        self._ids: list[str] = []
        self.runtime = self.proxy.connect()
        self.api: Peer | None = None

    def deliver(self, request_id: bytes = REQUEST_ID, fields: bytes = b"") -> None:
        """One event through the proxy."""
        self.runtime.send(NEXT)
        if self.api is None:
            self.api = self.upstream.accept()
        self.api.read_head()
        self.api.send(event(request_id, b"{}", fields))
        head, _ = self.runtime.read_message()
        _, trace_id, span_id, _ = (field(head, "traceparent") or b"").decode().split("-")
        self._ids.append(f"{trace_id}-{span_id}")
        self.settle()

    def finish(
        self,
        endpoint: bytes = b"response",
        body: bytes = b"{}",
        answer: bytes = ACCEPTED,
        fields: bytes = b"",
        request_id: bytes = REQUEST_ID,
    ) -> None:
        """Its result, and what Lambda says to that."""
        assert self.api is not None
        result = post(result_target(request_id, endpoint), body, fields)
        self.runtime.send(result)
        assert self.api.read(len(result)) == result
        self.api.send(answer)
        assert self.runtime.read(len(answer)) == answer
        self.settle()

    def settle(self) -> None:
        """A record has been offered when the next call of the same runtime is served."""
        assert self.api is not None
        self.runtime.send(PING)
        assert self.api.read(len(PING)) == PING
        self.api.send(ACCEPTED)
        self.runtime.read(len(ACCEPTED))

    def spans(self, reason: str = "spindown") -> list[Span]:
        """What has been exported once SHUTDOWN is over: spans with ids that the function was told,
        each once.
        """
        assert self.shutdown(reason)
        spans = spans_of(self._collector)
        ids = [f"{span.trace_id.hex()}-{span.span_id.hex()}" for span in spans]
        assert len(set(ids)) == len(ids)
        assert set(ids) == set(self._ids)
        return spans

    def close(self) -> None:
        self.proxy.close()
        self._thread.join(PATIENCE_S)
        self.upstream.close()


@pytest.fixture
def both(collector: Collector) -> Iterator[Both]:
    both = Both(collector)
    yield both
    both.close()


Step = Callable[[Both], None]


def deliver(both: Both) -> None:
    both.deliver()


def succeed(both: Both) -> None:
    both.finish()


def fail(both: Both) -> None:
    both.finish(b"error", ERROR)


def fail_with_a_type(both: Both) -> None:
    both.finish(b"error", b"{}", fields=b"Lambda-Runtime-Function-Error-Type: Runtime.Bad\r\n")


def be_refused(both: Both) -> None:
    both.finish(answer=TOO_LARGE)


def crash(both: Both) -> None:
    both.runtime.close()


# What happens, why the sandbox ends, error.type ("*": whatever it is).
ENDINGS: dict[str, tuple[list[Step], str, str]] = {
    "success": ([deliver, succeed], "spindown", ""),
    "error": ([deliver, fail], "spindown", "KeyError"),
    "error with its type in a header": ([deliver, fail_with_a_type], "spindown", "Runtime.Bad"),
    "a result too large": ([deliver, be_refused], "spindown", "*"),
    "a result too large and the error after it, as Java's client does": (
        [deliver, be_refused, fail],
        "spindown",
        "*",
    ),
    "timeout": ([deliver], "timeout", "*"),
    "crash": ([deliver, crash], "failure", "*"),
    "shutdown in the middle": ([deliver], "spindown", "*"),
    "delivered again": ([deliver, deliver, succeed], "spindown", ""),
}


@pytest.mark.parametrize(("steps", "reason", "error_type"), ENDINGS.values(), ids=ENDINGS)
def test_an_invocation_is_one_span_however_it_ends(
    both: Both, steps: list[Step], reason: str, error_type: str
) -> None:
    for step in steps:
        step(both)
    (span,) = both.spans(reason)
    attributes = plain(span.attributes)
    assert attributes["faas.invocation_id"] == REQUEST_ID.decode()
    assert span.end_time_unix_nano >= span.start_time_unix_nano > 0
    if not error_type:
        assert "error.type" not in attributes
        assert span.status.code == Status.STATUS_CODE_UNSET
    else:
        assert span.status.code == Status.STATUS_CODE_ERROR
        assert attributes["error.type"]
        assert error_type in {"*", attributes["error.type"]}


def test_a_retry_after_the_result_and_each_of_many_invocations_has_its_own_span(both: Both) -> None:
    both.deliver()
    both.finish(b"error", ERROR)
    # The same request id again, after its end.
    both.deliver()
    both.finish()
    for number in range(20):
        both.deliver(b"id-%d" % number)
        both.finish(request_id=b"id-%d" % number)
    spans = both.spans()
    assert len(spans) == 22
    assert [plain(span.attributes)["faas.coldstart"] for span in spans] == [True, *[False] * 21]
    assert sum(span.status.code == Status.STATUS_CODE_ERROR for span in spans) == 1
