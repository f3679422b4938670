"""The Telemetry API: the subscriptions of extensions, and the batches that each gets.

Source: AWS Lambda developer guide, "Telemetry API", "Telemetry API reference", "Event schema
reference".
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import random
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from lrap_otel.emulator.http import Reply, json_reply, refusal

if TYPE_CHECKING:
    from lrap_otel.emulator.config import Config
    from lrap_otel.emulator.extension import Extension
    from lrap_otel.emulator.http import Request

    Record = str | dict[str, Any]

PATH = "/2022-07-01/telemetry"
SCHEMAS = ("2022-07-01", "2022-12-13", "2025-01-29")
TYPES = ("platform", "function", "extension")
# By the name of a buffering setting: the lowest, the highest, and what it is if it is not given.
BUFFERING = {
    "maxItems": (1_000, 10_000, 10_000),
    "maxBytes": (262_144, 1_048_576, 262_144),
    "timeoutMs": (25, 30_000, 1_000),
}
RESERVED_PORT = 9001
# The most that waits for one subscriber; events beyond it are dropped and counted.
BACKLOG_BYTES = 16 * 1024 * 1024
ATTEMPT_S = 5.0
FIRST_PAUSE_S = 0.05
ATTEMPTS = 6
FALLEN_BEHIND = "Consumer seems to have fallen behind as it has not acknowledged receipt of logs."


@dataclass(frozen=True)
class Event:
    """One event. ``at_s`` is Unix time; ``source`` is one of `TYPES`; ``record`` is what the schema
    says, or a line.
    """

    at_s: float
    source: str
    kind: str
    record: Record

    def encode(self, schema: str) -> bytes:
        """The event as JSON. Until 2022-12-13 a line was always text."""
        record = self.record
        if self.source != "platform" and not isinstance(record, str) and schema < "2022-12-13":
            record = json.dumps(record, separators=(",", ":"))
        event = {"time": timestamp(self.at_s), "type": self.kind, "record": record}
        return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode(
            "utf-8", "replace"
        )


class TelemetryApi:
    """The Telemetry API of one sandbox. Subscriptions are taken until init is over, and get the
    events before them as well.
    """

    def __init__(self, config: Config) -> None:
        self.is_open = True
        self._config = config
        self._subscriptions: dict[str, Subscription] = {}
        self._history: list[Event] = []
        self._is_frozen = False

    async def answer(self, request: Request, extensions: dict[str, Extension]) -> Reply:
        """The reply to any request to `PATH`; ``extensions`` are the registered ones by name."""
        if request.method != "PUT":
            return Reply(405, [("Allow", "PUT")])
        if self._config.telemetry.is_silent:
            await asyncio.Event().wait()
        if self._config.telemetry.status == 202:
            return refusal(202, "Telemetry.NotSupported", "Telemetry API is not supported")
        if self._config.telemetry.status:
            return refusal(self._config.telemetry.status, "Telemetry.Refused", "refused on request")
        return self._subscribe(
            request.header("Lambda-Extension-Identifier"), await request.body(), extensions
        )

    def platform(self, kind: str, record: dict[str, Any], at_s: float | None = None) -> None:
        """An event of the platform's; ``kind`` without its prefix."""
        self._publish(
            Event(time.time() if at_s is None else at_s, "platform", f"platform.{kind}", record)
        )

    def line(self, source: str, text: str, at_s: float | None = None) -> None:
        """A line that the function or an extension has printed: an object if the log format is JSON
        and it is one.
        """
        record: Record = text
        if self._config.is_json_logged and text.lstrip().startswith("{"):
            with contextlib.suppress(ValueError, RecursionError):
                record = json.loads(text)
        self._publish(Event(time.time() if at_s is None else at_s, source, source, record))

    def close_subscriptions(self) -> None:
        """Init is over."""
        self.is_open = False
        self._history.clear()

    def freeze(self) -> None:
        """Nothing in the sandbox runs, so nothing is delivered until ``thaw``."""
        self._is_frozen = True
        for subscription in self._subscriptions.values():
            subscription.freeze()

    def thaw(self, *, at_once: bool = False) -> None:
        """Deliver again; ``at_once``: what waits now does not wait for its buffer to fill."""
        self._is_frozen = False
        for subscription in self._subscriptions.values():
            subscription.thaw(at_once=at_once)

    async def drained(self, limit_s: float) -> None:
        """Return when everything has been delivered, or after ``limit_s``."""
        waits = [subscription.drained() for subscription in self._subscriptions.values()]
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*waits), limit_s)

    async def close(self) -> None:
        """End; what has not been delivered is lost."""
        self.is_open = False
        await asyncio.gather(
            *(subscription.close() for subscription in self._subscriptions.values())
        )

    def _publish(self, event: Event) -> None:
        if self.is_open:
            self._history.append(event)
        for subscription in self._subscriptions.values():
            subscription.add(event)

    def _subscribe(self, identifier: str, body: bytes, extensions: dict[str, Extension]) -> Reply:
        if not identifier:
            return refusal(
                403,
                "Extension.MissingExtensionIdentifier",
                "Missing Lambda-Extension-Identifier header",
            )
        found = [each for each in extensions.values() if each.identifier == identifier]
        if not found:
            return refusal(
                403, "Extension.UnknownExtensionIdentifier", f"Unknown extension {identifier}"
            )
        if not self.is_open:
            return refusal(
                403, "Telemetry.SubscriptionClosed", "Telemetry API subscription is closed already"
            )
        try:
            wanted = Wanted.read(body, is_managed=self._config.is_managed)
        except ValueError as error:
            return refusal(400, "ValidationError", str(error))
        self._start(found[0].name, wanted)
        return json_reply(200, "OK")

    def _start(self, name: str, wanted: Wanted) -> None:
        """Subscribe ``name``, in the place of what it subscribed to before."""
        before = self._subscriptions.pop(name, None)
        if before is not None:
            before.abandon()
        subscription = Subscription(wanted, self._config)
        if self._is_frozen:
            subscription.freeze()
        for event in self._history:
            subscription.add(event)
        self._subscriptions[name] = subscription
        self.platform(
            "telemetrySubscription",
            {"name": name, "state": "Subscribed", "types": list(wanted.types)},
        )


@dataclass(frozen=True)
class Wanted:
    """What a subscription asks for."""

    schema: str
    types: tuple[str, ...]
    url: str
    max_items: int
    max_bytes: int
    timeout_s: float

    @classmethod
    def read(cls, body: bytes, *, is_managed: bool) -> Wanted:
        """ValueError says what is wrong."""
        try:
            asked = json.loads(body)
        except ValueError as error:
            raise ValueError("the body is no JSON") from error
        if not isinstance(asked, dict):
            raise ValueError("the body is no JSON object")  # noqa: TRY004 - both are the client's bad body
        schema = asked.get("schemaVersion", SCHEMAS[0])
        if schema not in SCHEMAS:
            raise ValueError(f"schemaVersion {schema!r} is none of {', '.join(SCHEMAS)}")
        if is_managed and schema != SCHEMAS[-1]:
            raise ValueError(f"Managed Instances need schemaVersion {SCHEMAS[-1]}")
        max_items, max_bytes, timeout_ms = _buffering(asked.get("buffering") or {})
        return cls(
            schema,
            _types(asked.get("types")),
            _url(asked.get("destination")),
            max_items,
            max_bytes,
            timeout_ms / 1_000,
        )


class Subscription:
    """What one extension is sent: batches over HTTP, each until it is acknowledged or given up."""

    def __init__(self, wanted: Wanted, config: Config) -> None:
        self._wanted = wanted
        self._config = config
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._oldest_s = 0.0
        self._dropped = [0, 0]
        self._is_frozen = False
        self._is_urgent = False
        self._news = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task = asyncio.get_running_loop().create_task(self._deliver())

    def add(self, event: Event) -> None:
        """Send this, if it is of a type that was subscribed to."""
        if event.source not in self._wanted.types:
            return
        encoded = event.encode(self._wanted.schema)
        if self._bytes + len(encoded) > BACKLOG_BYTES:
            self._dropped[0] += 1
            self._dropped[1] += len(encoded)
            return
        self._append(encoded)

    def freeze(self) -> None:
        """Deliver nothing for now."""
        self._is_frozen = True

    def thaw(self, *, at_once: bool) -> None:
        """Deliver again."""
        self._is_frozen = False
        self._is_urgent = self._is_urgent or at_once
        self._news.set()

    async def drained(self) -> None:
        """Return when all has been delivered."""
        await self._empty.wait()

    def abandon(self) -> None:
        """End, soon."""
        self._task.cancel()

    async def close(self) -> None:
        """End."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _append(self, encoded: bytes) -> None:
        if not self._waiting:
            self._oldest_s = time.monotonic()
        self._waiting.append(encoded)
        self._bytes += len(encoded)
        self._empty.clear()
        self._news.set()

    async def _deliver(self) -> None:
        # The name is known inside a sandbox alone; every sandbox of ours is this machine.
        url = urlsplit(self._wanted.url)
        local = url._replace(netloc=f"127.0.0.1:{url.port}").geturl()
        timeout = aiohttp.ClientTimeout(total=ATTEMPT_S)
        async with aiohttp.ClientSession(timeout=timeout, headers={"Host": url.netloc}) as session:
            while True:
                await self._until_due()
                batch = self._take()
                for _ in range(2 if self._config.telemetry.is_doubled else 1):
                    await self._post(session, local, batch)
                self._report_dropped()
                if not self._waiting:
                    self._empty.set()

    async def _until_due(self) -> None:
        while True:
            left_s = (
                self._oldest_s + self._wanted.timeout_s - time.monotonic()
                if self._waiting
                else None
            )
            is_full = (
                len(self._waiting) >= self._wanted.max_items
                or self._bytes >= self._wanted.max_bytes
            )
            is_due = is_full or self._is_urgent or (left_s is not None and left_s <= 0)
            if self._waiting and is_due and not self._is_frozen:
                return
            self._news.clear()
            limit_s = None if self._is_frozen else left_s
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(self._news.wait(), limit_s)

    def _take(self) -> list[bytes]:
        batch: list[bytes] = []
        size = 0
        while self._waiting and len(batch) < self._wanted.max_items:
            if batch and size + len(self._waiting[0]) > self._wanted.max_bytes:
                break
            batch.append(self._waiting.popleft())
            size += len(batch[-1])
        self._bytes -= size
        self._oldest_s = time.monotonic()
        if self._config.telemetry.is_shuffled:
            random.shuffle(batch)
        return batch

    async def _post(self, session: aiohttp.ClientSession, url: str, batch: list[bytes]) -> None:
        """Post a batch until it is acknowledged; after `ATTEMPTS` it is dropped and counted."""
        body = b"[" + b",\n".join(batch) + b"]"
        pause_s = FIRST_PAUSE_S
        for _ in range(ATTEMPTS):
            while self._is_frozen:
                self._news.clear()
                await self._news.wait()
            with contextlib.suppress(
                aiohttp.ClientError, TimeoutError, asyncio.TimeoutError, OSError
            ):
                async with session.post(
                    url, data=body, headers={"Content-Type": "application/json"}
                ) as reply:
                    await reply.read()
                    if reply.status == 200:
                        return
            await asyncio.sleep(pause_s)
            pause_s *= 2
        self._dropped[0] += len(batch)
        self._dropped[1] += len(body)

    def _report_dropped(self) -> None:
        records, size_bytes = self._dropped
        if records and "platform" in self._wanted.types:
            self._dropped = [0, 0]
            record = {
                "droppedRecords": records,
                "droppedBytes": size_bytes,
                "reason": FALLEN_BEHIND,
            }
            self._append(
                Event(time.time(), "platform", "platform.logsDropped", record).encode(
                    self._wanted.schema
                )
            )


def timestamp(at_s: float) -> str:
    """As the platform writes it: UTC with milliseconds."""
    return (
        datetime.fromtimestamp(at_s, timezone.utc)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def _types(asked: Any) -> tuple[str, ...]:
    if not isinstance(asked, list) or not asked:
        raise ValueError("types should not be empty")
    unknown = [each for each in asked if each not in TYPES]
    if unknown:
        raise ValueError(f"type {unknown[0]!r} is none of {', '.join(TYPES)}")
    return tuple(dict.fromkeys(asked))


def _url(destination: Any) -> str:
    if not isinstance(destination, dict):
        raise ValueError("destination should not be empty")  # noqa: TRY004 - both are the client's bad body
    if destination.get("protocol") != "HTTP":
        raise ValueError("protocol should be HTTP; TCP is not emulated")
    url = urlsplit(str(destination.get("URI", "")))
    try:
        port = url.port
    except ValueError:
        port = None
    if url.scheme != "http" or not _is_in_sandbox(url.hostname or ""):
        raise ValueError("URI should be http://sandbox.localdomain:PORT/")
    if not port:
        raise ValueError("URI port is not provided")
    if port == RESERVED_PORT:
        raise ValueError(f"port {RESERVED_PORT} is reserved")
    return url.geturl()


def _is_in_sandbox(host: str) -> bool:
    if host in {"sandbox.localdomain", "sandbox", "localhost"}:
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _buffering(asked: Any) -> list[int]:
    """The three settings, in the order of `BUFFERING`."""
    if not isinstance(asked, dict):
        raise ValueError("buffering should be an object")  # noqa: TRY004 - both are the client's bad body
    found = []
    for name, (lowest, highest, default) in BUFFERING.items():
        value = asked.get(name, default)
        if type(value) is not int or not lowest <= value <= highest:
            raise ValueError(f"{name} should be between {lowest} and {highest}")
        found.append(value)
    return found
