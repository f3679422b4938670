"""The guard around all that observes: the function never notices a fault of ours."""

from time import monotonic_ns

from lrap_otel import log
from lrap_otel.ipc import records
from lrap_otel.proxy.calls import RESULT
from lrap_otel.proxy.capture import SMALL_BYTES, Capture, of_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from lrap_otel.ipc.channel import Channel
    from lrap_otel.ipc.records import Message
    from lrap_otel.proxy.head_templates import Call
    from lrap_otel.proxy.polls import Event
    from lrap_otel.proxy.tracer import Tracer
    from lrap_otel.sandbox.invocations import Invocation, Invocations

    A = TypeVar("A")
    B = TypeVar("B")
    T = TypeVar("T")

# Results that were refused and did not come again, for all that is known: beyond, the oldest is
# recorded.
_REFUSED_LIMIT = 64
# Of a request head, for the telemetry process: enough for all but the 1 MiB that X-Ray's error
# cause may have.
HEAD_CAPTURE_BYTES = 16_384


class Recorder:
    """Everything between two messages that is not needed to pass them on runs through this class.

    Whatever it raises ends here, is counted in `failures`, and is said the first time: no memory,
    too deep a recursion, and what is no `Exception` as well. Nobody interrupts a runtime
    connection, so there is nothing that should get through to its thread. What every message needs
    has a method of its own, since a call with arguments that are passed on costs ten times as much;
    the rest goes through `observe`.

    `channel` is None where telemetry is off. `kept` has the records that a later telemetry process
    needs as well, by kind. `has_refused`: some result was refused by us, and may come again.
    """

    __slots__ = ("_invocations", "_refused", "channel", "failures", "has_refused", "kept")

    def __init__(self, invocations: "Invocations", channel: "Channel | None") -> None:
        self._invocations = invocations
        self.channel = channel
        self.failures = 0
        self.kept: dict[int, Message] = {}
        self._refused: dict[Invocation, tuple[Message, bytes]] = {}
        self.has_refused = False

    def observe(self, observing: "Callable[..., T]", *arguments: object) -> "T | None":
        """What `observing` returns; None if it raises."""
        try:
            return observing(*arguments)
        except BaseException as error:  # noqa: BLE001 - see the class
            self.count(error)
            return None

    def attempt(self, observing: "Callable[[A, B], T]", first: "A", second: "B") -> "T | None":
        """The same for two arguments."""
        try:
            return observing(first, second)
        except BaseException as error:  # noqa: BLE001 - see the class
            self.count(error)
            return None

    def prepare(
        self, tracer: "Tracer", event: "Event", now_ns: int, closes: bool
    ) -> "Event | None":
        """See `Tracer.prepare`; None if it fails."""
        try:
            return tracer.prepare(event, now_ns, closes)
        except BaseException as error:  # noqa: BLE001 - see the class
            self.count(error)
            return None

    def capture(self, capture: Capture, data: bytes) -> None:
        """Keep what is recorded of a part of a body."""
        try:
            capture.add(data)
        except BaseException as error:  # noqa: BLE001 - see the class
            self.count(error)

    def runtime_polls_again(self) -> None:
        """A runtime with one invocation at a time asks for the next event."""
        try:
            self._invocations.runtime_polls_again()
            if self.has_refused:
                self._offer_refused()
        except BaseException as error:  # noqa: BLE001 - see the class
            self.count(error)

    def notify(self) -> None:
        """Something has changed that a waiter or an observer reads."""
        try:
            self._invocations.notify()
        except BaseException as error:  # noqa: BLE001 - see the class
            self.count(error)

    def open(self, invocation: "Invocation", connection: object, now_ns: int) -> None:
        """The event is about to be sent to the runtime on `connection`."""
        try:
            self._invocations.open(invocation, connection, now_ns)
        except BaseException as error:  # noqa: BLE001 - see the class
            self.count(error)

    def delivered(self, invocation: "Invocation", event: "Event", overhead_ns: int) -> None:
        """The event of this invocation has been sent."""
        channel, context = self.channel, invocation.context
        try:
            if channel is not None:
                trace_id_hex = context.trace_id_hex
                if trace_id_hex:
                    head, payload = event.head.raw, event.payload
                    link_trace_id_hex, link_span_id_hex = invocation.link
                    message = records.delivered(
                        invocation.request_id,
                        invocation.invocation_id,
                        event.delivered_ns,
                        overhead_ns,
                        len(head),
                        len(payload),
                        trace_id_hex,
                        context.span_id_hex,
                        invocation.parent_span_id_hex,
                        context.trace_flags,
                        context.trace_state,
                        link_trace_id_hex,
                        link_span_id_hex,
                        invocation.is_cold_start,
                        event.is_redelivery,
                    )
                    if len(payload) <= SMALL_BYTES:
                        channel.offer(message, head + payload)
                    else:
                        channel.offer(message, head, of_event(payload))
        except BaseException as error:  # noqa: BLE001 - see the class
            self.count(error)

    def finished(
        self,
        invocation: "Invocation",
        call: "Call",
        capture: Capture,
        is_refused: bool,
        connection: object,
    ) -> None:
        """A result or an error has gone over `connection`, or broke off.

        `is_refused`: by us, and the invocation may still have another one.
        """
        try:
            try:
                if invocation.context.trace_id_hex:
                    duration_ns = (
                        capture.ended_ns or monotonic_ns()
                    ) - invocation.delivered_monotonic_ns
                    head = call.raw
                    if len(head) > HEAD_CAPTURE_BYTES:
                        head = head[:HEAD_CAPTURE_BYTES]
                    status, first, last = capture.status, capture.first, capture.last
                    message = records.finished(
                        invocation.request_id,
                        invocation.invocation_id,
                        "response" if call.kind == RESULT else "error",
                        duration_ns,
                        capture.overhead_ns,
                        status,
                        status != 0,
                        len(head),
                        len(first),
                        len(last),
                        capture.length,
                    )
                    payload = head + first + last if last else head + first
                    if is_refused or self.has_refused:
                        self._settle_refused(invocation, message, payload, is_refused)
                    if not is_refused and self.channel is not None:
                        self.channel.offer(message, payload)
            finally:
                if not is_refused:
                    self._invocations.finish(invocation, connection)
        except BaseException as error:  # noqa: BLE001 - see the class
            self.count(error)

    def count(self, error: BaseException) -> None:
        """Count a fault of ours, and say the first one."""
        self.failures += 1
        if self.failures == 1:
            log.warning(
                f"a fault of our own, {type(error).__name__} at {_place_of(error)}: some telemetry "
                f"is missing or lacks "
                "its context. The function is not affected. Please report this"
            )

    def offer(self, message: "Message", payload: bytes = b"", rest: bytes = b"") -> None:
        """Give a record to the telemetry process, if there is one."""
        if self.channel is not None:
            self.channel.offer(message, payload, rest)

    def offer_and_keep(self, message: "Message") -> None:
        """Give a record that says who we run beside, and keep it for a later telemetry process."""
        self.kept[message[0]] = message
        self.offer(message)

    def _settle_refused(
        self, invocation: "Invocation", message: "Message", payload: bytes, is_refused: bool
    ) -> None:
        """Keep the record of a result that was refused by us, since the same invocation may still
        have another one.

        If this is the other one, forget it.
        """
        self._refused.pop(invocation, None)
        if is_refused:
            self._refused[invocation] = message, payload
            if len(self._refused) > _REFUSED_LIMIT:
                self.offer(*self._refused.pop(next(iter(self._refused))))
        self.has_refused = bool(self._refused)

    def _offer_refused(self) -> None:
        """A runtime with one invocation at a time asks for the next event: what was refused does
        not come again.
        """
        self.has_refused = False
        while self._refused:
            self.offer(*self._refused.pop(next(iter(self._refused))))


def _place_of(error: BaseException) -> str:
    """File and line, without a path."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
