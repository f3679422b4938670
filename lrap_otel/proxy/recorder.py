"""The guard around all that observes: the function never notices a fault of ours."""

from time import monotonic_ns

from lrap_otel import log
from lrap_otel.proxy.capture import Capture, of_event
from lrap_otel.proxy.delivery import delivered, finished

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from lrap_otel.ipc.channel import Channel
    from lrap_otel.ipc.records import Message
    from lrap_otel.sandbox.invocations import Invocation, Invocations

    A = TypeVar("A")
    B = TypeVar("B")
    T = TypeVar("T")

# Results that were refused and did not come again, for all that is known: beyond, the oldest is
# recorded.
_REFUSED_LIMIT = 64


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
            self._count(error)
            return None

    def attempt(self, observing: "Callable[[A, B], T]", first: "A", second: "B") -> "T | None":
        """The same for two arguments."""
        try:
            return observing(first, second)
        except BaseException as error:  # noqa: BLE001 - see the class
            self._count(error)
            return None

    def runtime_polls_again(self) -> None:
        """A runtime with one invocation at a time asks for the next event."""
        try:
            self._invocations.runtime_polls_again()
            if self.has_refused:
                self._offer_refused()
        except BaseException as error:  # noqa: BLE001 - see the class
            self._count(error)

    def notify(self) -> None:
        """Something has changed that a waiter or an observer reads."""
        try:
            self._invocations.notify()
        except BaseException as error:  # noqa: BLE001 - see the class
            self._count(error)

    def open(self, invocation: "Invocation", connection: object, now_ns: int) -> None:
        """The event is about to be sent to the runtime on `connection`."""
        try:
            self._invocations.open(invocation, connection, now_ns)
        except BaseException as error:  # noqa: BLE001 - see the class
            self._count(error)

    def delivered(
        self,
        invocation: "Invocation",
        delivered_ns: int,
        overhead_ns: int,
        head: "bytes | memoryview",
        event: "bytes | memoryview",
        is_redelivery: bool,
    ) -> None:
        """The event has been sent. `head` is the reply's as it came, and `event` its payload."""
        channel = self.channel
        try:
            if channel is not None and invocation.is_traced:
                message = delivered(invocation, delivered_ns, overhead_ns, len(head), len(event), is_redelivery)
                channel.offer(message, head, of_event(event))
        except BaseException as error:  # noqa: BLE001 - see the class
            self._count(error)

    def delivered_at_once(
        self, invocation: "Invocation", delivered_ns: int, overhead_ns: int, reply: bytes, head_length: int
    ) -> None:
        """The same of a small reply in which the event comes right after the head, for the first
        time.
        """
        channel = self.channel
        if channel is None:
            return
        try:
            length = len(reply) - head_length
            channel.offer(delivered(invocation, delivered_ns, overhead_ns, head_length, length, False), reply)
        except BaseException as error:  # noqa: BLE001 - see the class
            self._count(error)

    def finished_at_once(
        self, invocation: "Invocation", overhead_ns: int, ended_ns: int, status: int, request: bytes, head_length: int
    ) -> None:
        """A result has gone that is one piece with its request's head. See `finished`."""
        channel = self.channel
        try:
            if self.has_refused:
                self._forget_refused(invocation)
            if channel is not None:
                duration_ns, length = ended_ns - invocation.delivered_monotonic_ns, len(request) - head_length
                message = finished(
                    invocation, "response", duration_ns, overhead_ns, status, head_length, length, 0, length
                )
                channel.offer(message, request)
        except BaseException as error:  # noqa: BLE001 - see the class
            self._count(error)

    def finish(self, invocation: "Invocation", connection: object) -> None:
        """Its result has gone, over `connection`."""
        try:
            self._invocations.finish(invocation, connection)
        except BaseException as error:  # noqa: BLE001 - see the class
            self._count(error)

    def _count(self, error: BaseException) -> None:
        self.failures += 1
        if self.failures == 1:
            log.warning(
                f"a fault of our own, {type(error).__name__} at {_place_of(error)}: some telemetry is missing or lacks "
                "its context. The function is not affected. Please report this"
            )

    def finished(
        self, invocation: "Invocation", endpoint: str, head: bytes, capture: Capture, is_refused: bool
    ) -> None:
        """A result or an error has gone, or broke off.

        `is_refused`: by us, and the invocation may still have another one.
        """
        if not invocation.is_traced:
            return
        duration_ns = monotonic_ns() - invocation.delivered_monotonic_ns
        first, last = bytes(capture.first), capture.last
        message = finished(
            invocation,
            endpoint,
            duration_ns,
            capture.overhead_ns,
            capture.status,
            len(head),
            len(first),
            len(last),
            capture.length,
        )
        if is_refused:
            self._postpone(invocation, message, head + first + last)
        else:
            self._forget_refused(invocation)
            self.offer(message, head, first, last)

    def offer(self, message: "Message", *parts: "bytes | memoryview") -> None:
        """Give a record to the telemetry process, if there is one."""
        if self.channel is not None:
            self.channel.offer(message, *parts)

    def offer_and_keep(self, message: "Message") -> None:
        """Give a record that says who we run beside, and keep it for a later telemetry process."""
        self.kept[message[0]] = message
        self.offer(message)

    def _postpone(self, invocation: "Invocation", message: "Message", payload: bytes) -> None:
        """Keep the record of a result that was refused, by us: the same invocation may still have
        another one.
        """
        self._refused[invocation] = message, payload
        self.has_refused = True
        if len(self._refused) > _REFUSED_LIMIT:
            self.offer(*self._refused.pop(next(iter(self._refused))))

    def _forget_refused(self, invocation: "Invocation") -> None:
        """This invocation's result came again."""
        self._refused.pop(invocation, None)
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
