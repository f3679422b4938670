"""Managed Instances: a runtime whose workers poll at once, and events that do not wait for each
other.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from lrap_otel.emulator import Config, Emulator

if TYPE_CHECKING:
    from collections.abc import Callable

# Nobody answers before three have an event.
THREE_WORKERS = """
import threading
together = threading.Barrier(3)
def work():
    worker = Client()
    while True:
        event = worker.next()
        together.wait()
        worker.respond(event["Lambda-Runtime-Aws-Request-Id"], event.body)
for _ in range(3):
    threading.Thread(target=work).start()
"""
# The second event is what it takes to end it.
TWO_WORKERS = """
import threading
together = threading.Barrier(2)
def work():
    event = Client().next()
    if b"well" in event.body:
        client.respond(event["Lambda-Runtime-Aws-Request-Id"], event.body)
    together.wait()
    os._exit(3)
for _ in range(2):
    threading.Thread(target=work).start()
"""
TWICE = """
while True:
    event = client.next()
    replies = [client.respond(event["Lambda-Runtime-Aws-Request-Id"], body) for body in (b"first", b"second")]
    print([reply.status for reply in replies], flush=True)
"""


def managed(config: Callable[..., Config], source: str, **settings: Any) -> Config:
    return config(source, initialization_type="lambda-managed-instances", **settings)


def test_events_are_with_the_function_at_once_and_each_result_finds_its_caller(
    config: Callable[..., Config],
) -> None:
    async def run() -> None:
        async with Emulator(managed(config, THREE_WORKERS)) as emulator:
            events = [b"%d" % number for number in range(9)]
            outcomes = await asyncio.gather(*(emulator.invoke(event) for event in events))
            assert [outcome.payload for outcome in outcomes] == events

    asyncio.run(run())


def test_a_second_result_for_one_event_is_refused(config: Callable[..., Config]) -> None:
    async def run() -> None:
        async with Emulator(managed(config, TWICE)) as emulator:
            assert (await emulator.invoke(b"{}")).payload == b"first"
            # Its worker is free only after the second refusal.
            assert (await emulator.invoke(b"{}")).payload == b"first"
            (line, *_) = [text for source, text in emulator.output if source == "function"]
            assert line in {"[202, 403]", "[202, 400]"}

    asyncio.run(run())


def test_a_crash_takes_every_event_that_was_with_the_function(
    config: Callable[..., Config],
) -> None:
    async def run() -> None:
        async with Emulator(managed(config, TWO_WORKERS)) as emulator:
            outcomes = await asyncio.gather(emulator.invoke(b"{}"), emulator.invoke(b"[]"))
            assert [outcome.status for outcome in outcomes] == ["crash", "crash"]
            after = await emulator.invoke(b'"well"')
            assert (after.status, after.payload) == ("success", b'"well"')

    asyncio.run(run())


def test_a_runtime_that_cannot_start_fails_every_event_that_waits_for_it(
    config: Callable[..., Config],
) -> None:
    async def run() -> None:
        async with Emulator(managed(config, "sys.exit(4)")) as emulator:
            outcomes = await asyncio.gather(emulator.invoke(b"1"), emulator.invoke(b"2"))
            assert [outcome.status for outcome in outcomes] == ["crash", "crash"]
            assert (
                outcomes[0].reason
                == outcomes[1].reason
                == "Runtime exited with error: exit status 4"
            )

    asyncio.run(run())
