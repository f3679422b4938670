"""What the parts of an export are to each other. For type checkers: nothing imports it
at run time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.telemetry.export.deadline import Deadline
    from lrap_otel.telemetry.export.endpoint import Answer
    from lrap_otel.telemetry.otlp.metrics import MetricsData
    from lrap_otel.telemetry.otlp.traces import Span
    from lrap_otel.telemetry.otlp.wire import Resource
    from lrap_otel.telemetry.url import Url


class Receiver(Protocol):
    """Where a signal goes. `post` takes what the codec beside it makes.

    `apart_s` is the shortest time between two requests with metrics, in seconds, and
    `max_batch_bytes` how much spans may take in one request.
    """

    @property
    def url(self) -> Url | str: ...
    @property
    def apart_s(self) -> float: ...
    @property
    def max_batch_bytes(self) -> int: ...
    def post(self, body: Any, deadline: Deadline, *, may_repeat: bool) -> Answer: ...
    def close(self) -> None: ...
    def forget(self) -> None: ...


class Codec(Protocol):
    """What makes requests, as the module `encode`.

    `STORED_AS` names what `span` returns, which is bytes then, to the spool; it is empty if these
    spans are not kept there.
    """

    STORED_AS: str

    def span(self, of: Span, /) -> Any: ...
    def size(self, of: Span, encoded: Any, /) -> int: ...
    def spans_request(self, resource: Resource, encoded: Sequence[Any], /) -> Any: ...
    def metrics_request(self, data: MetricsData, /) -> Any: ...
    def rejected(self, response: bytes, /) -> int: ...


Way = tuple[Receiver, Codec]


class Instruments(Protocol):
    """What an exporter needs of `Metrics`."""

    def collect(self) -> MetricsData | None: ...
    def drop_spans(self, count: int, reason: str) -> None: ...
    def fail_export(self, signal: str, reason: str) -> None: ...


class Finishing(Protocol):
    """A receiver that has something left to do when all is over; `finish` begins it."""

    def finish(self) -> Job: ...


class Job(Protocol):
    """What a receiver does at the end."""

    def wait(self, deadline: Deadline) -> bool: ...
