"""The invocations under way, by request id. The proxy's threads write, the lifecycle reads and
waits.

Each step is one dict operation, which the interpreter lock makes atomic; nothing here takes another
lock. What is looked through is a copy, which is one operation: `tuple(table)` is not, since making
the tuple may collect garbage, and with that let others run.
"""

from lrap_otel.propagation.context import SpanContext
from lrap_otel.sandbox.condition import Condition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Of these at least so many are known, and at most twice as many.
_ENDED_LIMIT = 256
# Far above what a sandbox serves at once: beyond are those whose results never pass here.
_OPEN_LIMIT = 1_024
# How often a waiter looks whether a runtime without a connection still lives.
_LOOK_AGAIN_S = 0.1
# Until the tracer has decided.
_NO_CONTEXT = SpanContext("", "", 0)
_NO_LINK = "", ""


class Invocation:
    """One event with the function, from its delivery to its result.

    `connection` is the runtime connection it was delivered on, None once that has ended.
    `is_released`: there is reason to believe that no result will come, so nobody should wait for
    one.
    """

    __slots__ = (
        "connection",
        "context",
        "deadline_ms",
        "delivered_monotonic_ns",
        "invocation_id",
        "is_cold_start",
        "is_released",
        "link",
        "parent_span_id_hex",
        "request_id",
    )

    def __init__(self, request_id: str, invocation_id: str, deadline_ms: int) -> None:
        self.request_id = request_id
        self.invocation_id = invocation_id
        self.deadline_ms = deadline_ms
        self.delivered_monotonic_ns = 0
        self.is_cold_start = False
        self.is_released = False
        self.connection: object = None
        self.context: SpanContext = _NO_CONTEXT
        self.parent_span_id_hex = ""
        self.link = _NO_LINK


class Invocations:
    """All invocations of a sandbox.

    `observer` is called after each change, and at each poll, while the telemetry process is paused
    for the function now and then (`ProcessPauser`); else None. `results` is how many results have
    gone.
    """

    __slots__ = (
        "_earlier_attempts",
        "_ended",
        "_ended_before",
        "_has_delivered",
        "_open",
        "_opens_connection_for_each_call",
        "_runtime_lives",
        "condition",
        "observer",
        "results",
    )

    def __init__(self) -> None:
        self._open: dict[str, Invocation] = {}
        # Of a request whose next attempt is under way as well, by request id and invocation id.
        self._earlier_attempts: dict[tuple[str, str], Invocation] = {}
        # The last to have ended, and those before them.
        self._ended: dict[str, None] = {}
        self._ended_before: dict[str, None] = {}
        self._has_delivered = False
        self._opens_connection_for_each_call = False
        self.condition = Condition()
        self._runtime_lives: Callable[[], bool] | None = None
        self.observer: Callable[[], None] | None = None
        self.results = 0

    def find(self, request_id: str, invocation_id: str) -> Invocation | None:
        """The open invocation of this request id; not another attempt's, where Lambda
        numbers them.
        """
        invocation = self._open.get(request_id)
        if invocation is None and not self._earlier_attempts:
            return None
        if invocation and invocation_id and invocation.invocation_id not in {"", invocation_id}:
            return self._earlier_attempts.get((request_id, invocation_id))
        return invocation or self._earlier_attempts.get((request_id, invocation_id))

    def open(self, invocation: Invocation, connection: object, now_ns: int) -> None:
        """The event is about to be sent to the runtime on `connection`."""
        request_id = invocation.request_id
        invocation.connection = connection
        invocation.is_released = False
        if not invocation.delivered_monotonic_ns:
            invocation.delivered_monotonic_ns = now_ns
            invocation.is_cold_start = not self._has_delivered
            self._has_delivered = True
        opened = self._open
        if request_id in opened:
            self._make_room(invocation)
        # Into one table before out of the other: a reader in between finds it.
        opened[request_id] = invocation
        if request_id in self._ended or request_id in self._ended_before:
            self.forget_end(request_id)
        if len(opened) > _OPEN_LIMIT:
            _drop_oldest(opened)
        if self.observer is not None or self.condition.is_awaited:
            self.notify()

    def _make_room(self, invocation: Invocation) -> None:
        """Another attempt of this request is under way."""
        earlier = self._open.get(invocation.request_id)
        if earlier is not None and earlier is not invocation and earlier.invocation_id:
            earlier.connection = None
            self._earlier_attempts[earlier.request_id, earlier.invocation_id] = earlier
            if len(self._earlier_attempts) > _OPEN_LIMIT:
                _drop_oldest(self._earlier_attempts)

    def finish(self, invocation: Invocation, connection: object) -> None:
        """The result has gone, over `connection`."""
        self.results += 1
        request_id = invocation.request_id
        attempts = self._earlier_attempts
        # An earlier attempt has lost its connection to us alone.
        if invocation.connection is None and connection is not None and not attempts:
            self._opens_connection_for_each_call = True
        if (
            not attempts
            or attempts.pop((request_id, invocation.invocation_id), None) is not invocation
        ):
            self._ended[request_id] = None
            if self._open.get(request_id) is invocation:
                self._open.pop(request_id, None)
        ended = self._ended
        if len(ended) > _ENDED_LIMIT:
            self._ended_before, self._ended = ended, {}
        if self.observer is not None or self.condition.is_awaited:
            self.notify()

    def runtime_polls_again(self) -> None:
        """A runtime with one invocation at a time asks for the next event: what is open will get no
        result.
        """
        if self._open:
            for invocation in self._open.copy().values():
                invocation.is_released = True
            self.notify()

    def connection_ended(self, connection: object, as_announced: bool) -> None:
        """A runtime connection is gone, and with it, as far as we know, the results of what was
        delivered on it.

        It says nothing where the runtime's process is known, which says it better; where the end
        was announced; or where the runtime opens a connection for each call, as Ruby's client does.
        """
        says_nothing = (
            as_announced or self._opens_connection_for_each_call or self._runtime_lives is not None
        )
        for invocation in self._open.copy().values():
            if invocation.connection is connection:
                invocation.connection = None
                invocation.is_released |= not says_nothing
                self.notify()

    def know_runtime(self, lives: "Callable[[], bool]") -> None:
        """`lives` tells whether the runtime's process is still there."""
        self._runtime_lives = lives

    def is_open(self, request_id: str) -> bool:
        """Its event is with the function, and a result may come."""
        invocation = self._open.get(request_id)
        if invocation is None or invocation.is_released:
            return False
        return (
            invocation.connection is not None
            or self._runtime_lives is None
            or self._runtime_lives()
        )

    @property
    def open_count(self) -> int:
        """How many have no result yet."""
        return len(self._open) + len(self._earlier_attempts)

    def is_any_open(self) -> bool:
        """An event is with the function."""
        return any(self.is_open(request_id) for request_id in self._open.copy())

    def was_delivered(self, request_id: str) -> bool:
        """Its event went through the proxy."""
        return request_id in self._open or self.has_ended(request_id)

    def has_ended(self, request_id: str) -> bool:
        """Its result has gone."""
        return request_id in self._ended or request_id in self._ended_before

    def forget_end(self, request_id: str) -> None:
        """Nobody asks for its result any more. A retry by Lambda has the same request id."""
        self._ended.pop(request_id, None)
        self._ended_before.pop(request_id, None)

    def wait_while(self, condition: "Callable[[], bool]", timeout_s: float) -> None:
        """Wait until `condition` is false, looking again at each change, at most `timeout_s`.

        For one waiter alone.
        """
        self.condition.wait_while(
            condition, timeout_s, lambda: _LOOK_AGAIN_S if self._is_any_in_doubt() else timeout_s
        )

    def _is_any_in_doubt(self) -> bool:
        return any(invocation.connection is None for invocation in self._open.copy().values())

    def notify_observer(self) -> None:
        """Something has changed that may pause the telemetry process, or let it run.

        This runs between the function and its event, so that nothing is raised.
        """
        observer = self.observer
        if observer is not None:
            try:
                observer()
            except Exception:  # noqa: BLE001 - the event goes on
                self.observer = None

    def notify(self) -> None:
        """Something that a waiter's condition reads has changed."""
        if self.observer is not None:
            self.notify_observer()
        self.condition.notify()


def _drop_oldest(table: "dict[Any, Any]") -> None:
    """Make room; where another thread changes the table meanwhile, with the next that comes in."""
    try:
        table.pop(next(iter(table)), None)
    except (RuntimeError, StopIteration):
        return
