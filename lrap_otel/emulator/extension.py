"""One registered extension: its state, and the event it waits for or has not fetched yet."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.emulator.changes import Changes

State = Literal["Registered", "Ready", "Running", "InitError", "ExitError"]


class Extension:
    """Registered under ``name``; ``is_internal`` when it lives in the runtime's process."""

    def __init__(
        self, name: str, is_internal: bool, events: Sequence[str], changes: Changes
    ) -> None:
        self.name = name
        self.is_internal = is_internal
        self.events = tuple(events)
        self.identifier = str(uuid.uuid4())
        self.state: State = "Registered"
        self.error_type = ""
        self.has_seen_shutdown = False
        self._changes = changes
        self._waiting: asyncio.Future[dict[str, Any]] | None = None
        self._told: deque[dict[str, Any]] = deque()

    @property
    def is_idle(self) -> bool:
        """Whether it waits for its next event, with every earlier one fetched."""
        return self.state == "Ready"

    @property
    def may_poll(self) -> bool:
        """Whether it may ask for an event: it does not wait yet, and has reported no failure."""
        return self.state in {"Registered", "Running"}

    def deliver(self, event: dict[str, Any]) -> None:
        """Give it an event it subscribed to: now if it waits, else when it asks."""
        if event["eventType"] not in self.events:
            return
        self._told.append(event)
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(self._take())

    async def poll(self) -> dict[str, Any]:
        """The next event; may take for ever."""
        if self._told:
            return self._take()
        self._move("Ready")
        self._waiting = asyncio.get_running_loop().create_future()
        return await self._waiting

    def report_error(self, state: State, error_type: str) -> None:
        """Take its report that its init, or it itself, has failed."""
        self.error_type = error_type
        self._move(state)

    def _take(self) -> dict[str, Any]:
        event = self._told.popleft()
        self.has_seen_shutdown = self.has_seen_shutdown or event["eventType"] == "SHUTDOWN"
        self._move("Running")
        return event

    def _move(self, state: State) -> None:
        self.state = state
        self._changes.notify()
