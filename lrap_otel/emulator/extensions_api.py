"""The Extensions API: which extensions have registered, and the events that each waits for and
gets.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from lrap_otel.emulator.config import ACCOUNT_ID
from lrap_otel.emulator.extension import Extension
from lrap_otel.emulator.http import ACCEPTED, Reply, json_reply, not_found, refusal, wrong_method

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lrap_otel.emulator.changes import Changes
    from lrap_otel.emulator.config import Config
    from lrap_otel.emulator.http import Request
    from lrap_otel.emulator.invocation import Invocation

PREFIX = "/2020-01-01/extension/"
MAX_EXTENSIONS = 10
METHODS = {"register": "POST", "event/next": "GET", "init/error": "POST", "exit/error": "POST"}


class ExtensionsApi:
    """The Extensions API of one sandbox. ``files`` are the names of the extensions that Lambda
    starts; any other is internal.
    """

    def __init__(
        self,
        config: Config,
        files: Collection[str],
        changes: Changes,
        on_ready: Callable[[Extension], None],
    ) -> None:
        """``on_ready`` is called with each extension that asks for its first event."""
        self.registered: dict[str, Extension] = {}
        self.is_open = True
        self._config = config
        self._files = files
        self._changes = changes
        self._on_ready = on_ready

    @property
    def all_registered(self) -> bool:
        """Every file that was started has registered under its name."""
        return self.missing() == []

    @property
    def all_ready(self) -> bool:
        """Nobody who asked for INVOKE is still busy, and everybody has polled once."""
        return all(extension.is_idle for extension in self.registered.values())

    def missing(self) -> list[str]:
        """Names that were started and have not registered."""
        return [name for name in self._files if name not in self.registered]

    def busy(self) -> list[str]:
        """Names of extensions that have not finished an invocation, or init."""
        return [extension.name for extension in self.registered.values() if not extension.is_idle]

    def invoke(self, invocation: Invocation) -> None:
        """INVOKE to everybody who asked for it."""
        event: dict[str, Any] = {
            "eventType": "INVOKE",
            "deadlineMs": invocation.deadline_ms,
            "requestId": invocation.request_id,
            "invokedFunctionArn": invocation.arn,
        }
        if invocation.trace_header:
            event["tracing"] = {"type": "X-Amzn-Trace-Id", "value": invocation.trace_header}
        for extension in self.registered.values():
            extension.deliver(event)

    def shutdown(self, reason: str, deadline_ms: int) -> None:
        """SHUTDOWN to everybody who asked for it."""
        for extension in self.registered.values():
            extension.deliver(
                {"eventType": "SHUTDOWN", "deadlineMs": deadline_ms, "shutdownReason": reason}
            )

    async def answer(self, request: Request) -> Reply:
        """The reply to any request below ``PREFIX``, or 404 / 405."""
        call = request.path.removeprefix(PREFIX)
        if call not in METHODS:
            return not_found()
        if request.method != METHODS[call]:
            return wrong_method(METHODS[call])
        if call == "register":
            return await self._register(request)
        caller = self._caller(request)
        if isinstance(caller, Reply):
            return caller
        return await (
            self._next(caller) if call == "event/next" else self._error(caller, call, request)
        )

    async def _register(self, request: Request) -> Reply:
        name = request.header("Lambda-Extension-Name")
        events = _events(await request.body())
        if refused := self._refuse_registration(name, events):
            return refused
        extension = Extension(name, name not in self._files, events or [], self._changes)
        self.registered[name] = extension
        self._changes.notify()
        return self._welcome(
            extension, with_account="accountId" in request.header("Lambda-Extension-Accept-Feature")
        )

    def _refuse_registration(self, name: str, events: list[str] | None) -> Reply | None:
        if not name:
            return refusal(403, "Extension.InvalidExtensionName", "Empty extension name")
        if not self.is_open:
            return refusal(
                403, "Extension.RegistrationClosed", "Extension registration closed already"
            )
        if name in self.registered:
            return _not_allowed(self.registered[name], "Registered")
        if len(self.registered) >= MAX_EXTENSIONS:
            return refusal(
                403, "Extension.TooManyExtensions", f"Extension limit ({MAX_EXTENSIONS}) reached"
            )
        return self._refuse_events(name, events)

    def _refuse_events(self, name: str, events: list[str] | None) -> Reply | None:
        if events is None:
            return refusal(403, "InvalidRequestFormat", "Invalid request format")
        for event in events:
            if event not in self._allowed_events(name):
                return refusal(403, "Extension.InvalidEventType", f"{event}: ErrorInvalidEventType")
        return None

    def _allowed_events(self, name: str) -> set[str]:
        if self._config.is_managed:
            return {"SHUTDOWN"}
        return {"INVOKE", "SHUTDOWN"} if name in self._files else {"INVOKE"}

    def _welcome(self, extension: Extension, *, with_account: bool) -> Reply:
        about = {
            "functionName": self._config.function_name,
            "functionVersion": self._config.function_version,
            "handler": self._config.handler_name,
        }
        if with_account:
            about["accountId"] = ACCOUNT_ID
        return json_reply(200, about, [("Lambda-Extension-Identifier", extension.identifier)])

    def _caller(self, request: Request) -> Extension | Reply:
        identifier = request.header("Lambda-Extension-Identifier")
        if not identifier:
            return refusal(
                403,
                "Extension.MissingExtensionIdentifier",
                "Missing Lambda-Extension-Identifier header",
            )
        for extension in self.registered.values():
            if extension.identifier == identifier:
                return extension
        try:
            uuid.UUID(identifier)
        except ValueError:
            return refusal(
                403, "Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier"
            )
        return refusal(
            403, "Extension.UnknownExtensionIdentifier", f"Unknown extension {identifier}"
        )

    async def _next(self, extension: Extension) -> Reply:
        if not extension.may_poll:
            return _not_allowed(extension, "Ready")
        if extension.state == "Registered":
            self._on_ready(extension)
        event = await extension.poll()
        body = json.dumps(event, separators=(",", ":")).encode()
        if event["eventType"] == "SHUTDOWN":
            # Measured: SHUTDOWN comes with a sniffed type and without an event identifier.
            return Reply(200, [("Content-Type", "text/plain; charset=utf-8")], body)
        headers = [
            ("Content-Type", "application/json"),
            ("Lambda-Extension-Event-Identifier", str(uuid.uuid4())),
        ]
        return Reply(200, headers, body)

    async def _error(self, extension: Extension, call: str, request: Request) -> Reply:
        error_type = request.header("Lambda-Extension-Function-Error-Type")
        if not error_type:
            return refusal(
                403,
                "Extension.MissingHeader",
                "Missing Lambda-Extension-Function-Error-Type header",
            )
        await request.body()
        extension.report_error("InitError" if call == "init/error" else "ExitError", error_type)
        return json_reply(*ACCEPTED)


def _events(body: bytes) -> list[str] | None:
    try:
        asked = json.loads(body)
        return (
            [str(event) for event in asked.get("events") or []]
            if not asked.get("configurationKeys")
            else None
        )
    except (ValueError, AttributeError):
        return None


def _not_allowed(extension: Extension, wanted: str) -> Reply:
    text = (
        f"State transition from {extension.state} to {wanted} failed for extension "
        f"{extension.name}. Error: State transition is not allowed"
    )
    return refusal(403, "Extension.InvalidExtensionState", text)
