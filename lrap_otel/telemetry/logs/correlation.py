"""Which invocation printed a record, and the span of that invocation."""

from __future__ import annotations

from lrap_otel.telemetry import semconv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.telemetry.logs.reading import Printed
    from lrap_otel.telemetry.open_invocations import Invocation

# A batch may come late, and Managed Instances run 64 invocations at once.
_KNOWN_LIMIT = 512


class Correlation:
    """The spans of the last invocations, by request id.

    A record without a known request id was printed by the invocation that runs: the platform
    reports its start and its lines in their order. If many run at once, as on Managed Instances,
    such a record belongs to none.
    """

    __slots__ = ("_current", "_is_managed", "_spans", "_started")

    def __init__(self, *, is_managed: bool) -> None:
        self._is_managed = is_managed
        self._current = ""
        self._started: dict[str, None] = {}
        self._spans: dict[str, tuple[str, str, int]] = {}

    def started(self, request_id: str) -> None:
        """The platform reports that an invocation has begun."""
        self._started[request_id] = None
        _forget_oldest(self._started)
        self._current = "" if self._is_managed else request_id

    def delivered(self, invocation: Invocation) -> None:
        """The proxy has delivered an invocation, with this span."""
        record = invocation.delivered
        self._spans[record.request_id] = record.trace_id_hex, record.span_id_hex, record.trace_flags
        _forget_oldest(self._spans)

    def restored(self) -> None:
        """This is a new sandbox."""
        self._current = ""

    def join(self, printed: Printed) -> bool:
        """Set the ids of the invocation that printed it. False if its event may still come through
        the proxy.
        """
        log, named = printed.log, printed.request_ids
        request_id = self._request_id_of(printed)
        if named:
            # Perhaps an id of another service. It may be the other way round once more is known.
            others = {name: value for name, value in named.items() if value != request_id and name}
            own = {name: value for name, value in log.attributes.items() if name not in named}
            log.attributes = {**own, **others}
        if not request_id:
            return True
        log.attributes = {**log.attributes, semconv.FAAS_INVOCATION_ID: request_id}
        span = self._spans.get(request_id)
        if span is None:
            if request_id not in named.values():
                printed.request_ids = {"": request_id}
            return False
        trace_id_hex, span_id_hex, flags = span
        if not printed.has_span and log.trace_id_hex in {"", trace_id_hex}:
            log.trace_id_hex, log.span_id_hex, log.trace_flags = trace_id_hex, span_id_hex, flags
        return True

    def _request_id_of(self, printed: Printed) -> str:
        """Empty if there is none."""
        named = printed.request_ids.values()
        for request_id in named:
            if request_id in self._spans or request_id in self._started:
                return request_id
        # On Managed Instances a start may come after what was printed.
        return next(iter(named), "") if self._is_managed else self._current


def _forget_oldest(known: dict) -> None:  # type: ignore[type-arg]  # of any
    if len(known) > _KNOWN_LIMIT:
        del known[next(iter(known))]
