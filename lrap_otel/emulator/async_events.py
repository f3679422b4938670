"""Asynchronous events: accepted at once, tried again if they fail, at last written to a dead-letter
file.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.emulator.config import Config
    from lrap_otel.emulator.invocation import Invocation
    from lrap_otel.emulator.outcome import Outcome

    Begin = Callable[..., tuple[Invocation, asyncio.Task[Outcome]]]

RETRIES = 2


class AsyncEvents:
    """Runs each event up to three times under one request id. Lambda does the same, but pauses one
    minute and then two between the attempts.
    """

    def __init__(self, begin: Begin, config: Config, on_step: Callable[[str], None]) -> None:
        """`begin` is `Emulator.begin`."""
        self._begin = begin
        self._config = config
        self._on_step = on_step
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, event: bytes, **about: Any) -> str:
        """Take an event that somebody has sent; its request id."""
        invocation, task = self._begin(event, **about)
        retrying = asyncio.get_running_loop().create_task(
            self._see_through(event, invocation.request_id, task, about)
        )
        self._tasks.add(retrying)
        retrying.add_done_callback(self._tasks.discard)
        return invocation.request_id

    async def close(self) -> None:
        """Give up what has not been tried again yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _see_through(
        self, event: bytes, request_id: str, task: asyncio.Task[Outcome], about: dict[str, Any]
    ) -> None:
        outcome = await task
        for retry in range(1, RETRIES + 1):
            if outcome.error_type is None:
                return
            pause_s = self._config.retry_wait_s * retry
            self._on_step(
                f"{request_id} failed; tried again in {pause_s:g} s ({retry} of {RETRIES})"
            )
            await asyncio.sleep(pause_s)
            _, again = self._begin(event, **{**about, "request_id": request_id})
            outcome = await again
        if outcome.error_type is not None:
            self._bury(event, outcome)

    def _bury(self, event: bytes, outcome: Outcome) -> None:
        where = self._config.dead_letter
        if where is None:
            self._on_step(
                f"{outcome.request_id} failed {RETRIES + 1} times and is dropped; --dead-letter "
                f"FILE keeps it"
            )
            return
        record = {
            "version": "1.0",
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
            "requestContext": {
                "requestId": outcome.request_id,
                "functionArn": f"{self._config.function_arn}:{self._config.function_version}",
                "condition": "RetriesExhausted",
                "approximateInvokeCount": RETRIES + 1,
            },
            "requestPayload": _value(event),
            "responseContext": {
                "statusCode": 200,
                "executedVersion": self._config.function_version,
                "functionError": outcome.function_error,
            },
            "responsePayload": _value(outcome.payload),
        }
        try:
            with where.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            self._on_step(f"{outcome.request_id} could not be written to {where}: {error.strerror}")
            return
        self._on_step(f"{outcome.request_id} failed {RETRIES + 1} times and is in {where}")


def _value(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")
