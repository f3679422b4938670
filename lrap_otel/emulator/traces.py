"""Assigns each span to the invocation that it, or an ancestor of it, belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lrap_otel.emulator.signals import Span

INVOCATION_ID = "faas.invocation_id"


class Traces:
    """Received spans that have not been shown, in the order in which they came.

    A function's own spans may come before the invocation's, which is their ancestor: until that is
    here, they belong to nobody.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Span] = {}
        self._waiting: list[Span] = []
        self._waited_before: set[int] = set()

    def add(self, spans: Iterable[Span]) -> None:
        """Keep what was received."""
        for span in spans:
            self._known[span.trace_id_hex, span.span_id_hex] = span
            self._waiting.append(span)

    def owners(self) -> list[str]:
        """The request ids that something waits for, in the order in which it came."""
        return list(dict.fromkeys(owner for span in self._waiting if (owner := self._owner(span))))

    def take(self, request_id: str) -> list[Span]:
        """What is here of one invocation and was not taken before."""
        return self._take({id(span) for span in self._waiting if self._owner(span) == request_id})

    def whole(self, request_id: str) -> list[Span]:
        """What is here of one invocation, taken before or not."""
        return [span for span in self._known.values() if self._owner(span) == request_id]

    def take_strangers(self) -> list[Span]:
        """What belonged to nobody at the last call already, and still does."""
        strangers = {id(span) for span in self._waiting if not self._owner(span)}
        taken = self._take(strangers & self._waited_before)
        self._waited_before = strangers
        return taken

    def take_all(self) -> list[Span]:
        """Everything that is left."""
        return self._take({id(span) for span in self._waiting})

    def _take(self, chosen: set[int]) -> list[Span]:
        taken = [span for span in self._waiting if id(span) in chosen]
        self._waiting = [span for span in self._waiting if id(span) not in chosen]
        return taken

    def _owner(self, span: Span) -> str:
        """The request id of the nearest ancestor that names one; empty if none does."""
        seen: set[str] = set()
        current: Span | None = span
        while current is not None and current.span_id_hex not in seen:
            if owner := current.attributes.get(INVOCATION_ID):
                return str(owner)
            seen.add(current.span_id_hex)
            current = self._known.get((span.trace_id_hex, current.parent_id_hex))
        return ""
