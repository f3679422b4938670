"""One sandbox from init to its end: starts the extensions, then the runtime, and runs invocations
in them.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from lrap_otel.emulator.changes import Changes
from lrap_otel.emulator.environment import extension_environment
from lrap_otel.emulator.extensions_api import ExtensionsApi
from lrap_otel.emulator.platform_events import PlatformEvents
from lrap_otel.emulator.process import Process
from lrap_otel.emulator.runtime_api import ManagedRuntimeApi, RuntimeApi
from lrap_otel.emulator.telemetry_api import TelemetryApi

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lrap_otel.emulator.config import Config
    from lrap_otel.emulator.invocation import Invocation
    from lrap_otel.emulator.process import OnLine
    from lrap_otel.emulator.tap import Tap

    OnStep = Callable[[str], None]

RUNTIME = "function"
# AWS Lambda developer guide, "Lambda SnapStart": the limit of restore and its hooks together.
RESTORE_TIMEOUT_S = 10.0


class SandboxError(Exception):
    """The sandbox cannot go on: a process ended, or could not be started. ``error_type`` is
    Lambda's name for it.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class SandboxTimeoutError(SandboxError):
    """Init or an invocation took longer than it may."""

    def __init__(self, message: str) -> None:
        super().__init__("Sandbox.Timedout", message)


class Sandbox:
    """Fresh for every init; a reset throws it away. ``environment`` is the runtime's."""

    def __init__(
        self,
        config: Config,
        environment: dict[str, str],
        on_line: OnLine,
        on_step: OnStep,
        tap: Tap | None = None,
    ) -> None:
        """``tap``: the runtime connects to it, and it to the address that the runtime's wrapper
        gave.
        """
        files = config.extension_files()
        self.changes = Changes()
        self.runtime = (
            ManagedRuntimeApi(self.changes)
            if config.is_managed
            else RuntimeApi(self.changes, has_snapshot=config.has_snapshot)
        )
        self.telemetry = TelemetryApi(config)
        self.platform = PlatformEvents(config, self.telemetry)
        self.extensions = ExtensionsApi(config, files, self.changes, self.platform.extension_ready)
        self.extension_processes: dict[str, Process] = {}
        self.runtime_process: Process | None = None
        self.config = config
        self.is_ready = False
        self.is_stopping = False
        self._files = files
        self._environment = environment
        self._on_line = on_line
        self._on_step = on_step
        self._tap = tap
        self._init_error: SandboxError | None = None
        self._failure: asyncio.Future[SandboxError] = asyncio.get_running_loop().create_future()

    async def init(self, timeout_s: float) -> None:
        """Extensions, then the runtime, until everybody has asked for an event; SandboxError when
        that does not come about within ``timeout_s``.

        It is tried once: after a failure, every later call raises the same error.
        """
        if self._init_error:
            raise self._init_error
        try:
            await self._init(timeout_s)
        except SandboxError as error:
            self._init_error = error
            self._report_init_error(error)
            raise

    async def invoke(self, invocation: Invocation) -> None:
        """Run one invocation to its end: the runtime and every INVOKE extension ask for the next
        event, or, under Managed Instances, its result is there.
        """
        await self._find_worker(invocation.ends_at_s)
        invocation.begin()
        self._raise_failure()
        self.telemetry.thaw()
        self.platform.invocation_begins(invocation)
        self.extensions.invoke(invocation)
        self.runtime.deliver(invocation)
        runtime_ms = 0.0
        try:
            await self._until_over(lambda: self.runtime.is_over(invocation), invocation)
            runtime_ms = invocation.elapsed_ms()
            self.platform.runtime_done(invocation, *_end(invocation))
            # Under Managed Instances nobody is frozen, so that nobody waits for the extensions.
            await self._until_over(
                lambda: self.config.is_managed or self.extensions.all_ready, invocation
            )
        except SandboxError as error:
            end = (
                "timeout" if isinstance(error, SandboxTimeoutError) else "failure",
                error.error_type,
            )
            if not runtime_ms:
                runtime_ms = invocation.elapsed_ms()
                self.platform.runtime_done(invocation, *end)
            self.platform.invocation_ends(invocation, runtime_ms, *end, self.processes())
            raise
        self.platform.invocation_ends(invocation, runtime_ms, *_end(invocation), self.processes())
        self.runtime.finish(invocation)
        self._freeze()

    def processes(self) -> list[Process]:
        """All that were started."""
        runtime = [self.runtime_process] if self.runtime_process else []
        return [*runtime, *self.extension_processes.values()]

    async def destroy(self) -> None:
        """SIGKILL to everything, at once."""
        self.is_stopping = True
        await asyncio.gather(*(process.destroy() for process in self.processes()))

    async def _init(self, timeout_s: float) -> None:
        ends_at_s = time.monotonic() + timeout_s
        await self._register_extensions(ends_at_s, timeout_s)
        self._start_runtime()
        is_over = await self._comes_true(
            lambda: self.runtime.is_ready or self.runtime.waits_for_restore, ends_at_s
        )
        if is_over:
            self.platform.runtime_initialized()
        # Measured: under Managed Instances the first worker's poll ends init.
        if not is_over or not await self._comes_true(
            lambda: self.config.is_managed or self.extensions.all_ready, ends_at_s
        ):
            raise SandboxTimeoutError(
                f"init did not end within {timeout_s:g} s: {self._who_is_missing()}"
            )
        self.platform.initialized()
        self.extensions.is_open = False
        self.telemetry.close_subscriptions()
        if self.runtime.waits_for_restore:
            await self._restore()
        self.is_ready = True
        self._freeze()

    async def _restore(self) -> None:
        """Freeze and thaw, as a snapshot does, then let the runtime run its hooks until
        it polls.
        """
        self._freeze()
        began_s = time.time()
        self.telemetry.thaw()
        self.runtime.restore()
        ends_at_s = time.monotonic() + RESTORE_TIMEOUT_S
        is_over = await self._comes_true(
            lambda: self.runtime.is_ready or bool(self.runtime.restore_error), ends_at_s
        )
        if error := self.runtime.restore_error:
            self.platform.restored(began_s, time.time(), "error")
            raise SandboxError(
                error.error_type or "", f"the runtime could not be restored: {error.error_type}"
            )
        if not is_over:
            self.platform.restored(began_s, time.time(), "timeout")
            raise SandboxTimeoutError(
                f"restore did not end within {RESTORE_TIMEOUT_S:g} s: the runtime did not poll"
            )
        self.platform.restored(began_s, time.time())
        self._on_step(f"restored from its snapshot ({(time.time() - began_s) * 1000:.0f} ms)")

    def _report_init_error(self, error: SandboxError) -> None:
        end = "timeout" if isinstance(error, SandboxTimeoutError) else "error", error.error_type
        if not self.runtime.is_ready:
            self.platform.runtime_initialized(*end)
        self.platform.initialized(*end)

    def _freeze(self) -> None:
        if not self.config.is_managed:
            self.telemetry.freeze()

    async def _until_over(self, holds: Callable[[], bool], invocation: Invocation) -> None:
        if not await self._comes_true(holds, invocation.ends_at_s):
            raise SandboxTimeoutError(f"Task timed out after {invocation.timeout_s:.2f} seconds")

    async def _register_extensions(self, ends_at_s: float, timeout_s: float) -> None:
        environment = extension_environment(self._environment)
        for name, path in self._files.items():
            self.extension_processes[name] = self._start(
                name, [str(path.absolute())], environment, "Extension.LaunchError"
            )
        if await self._comes_true(lambda: self.extensions.all_registered, ends_at_s):
            for extension in self.extensions.registered.values():
                self._on_step(
                    f"extension {extension.name} registered for "
                    f"{', '.join(extension.events) or 'no events'}"
                )
            return
        missing = ", ".join(self.extensions.missing())
        heard = ", ".join(sorted(self.extensions.registered)) or "nobody"
        raise SandboxTimeoutError(
            f"extension {missing} did not register within {timeout_s:g} s (registered: {heard})"
        )

    def _start_runtime(self) -> None:
        if not self.config.command:
            return
        command = self._tap.command(self.config.command) if self._tap else self.config.command
        argv = bootstrap(self.config.wrapper, command)
        self.runtime_process = self._start(
            RUNTIME, argv, self._environment, "Runtime.InvalidEntrypoint"
        )
        self._on_step(
            "runtime started"
            + (f" through {self.config.wrapper.name}" if self.config.wrapper else "")
        )

    def _start(
        self, name: str, argv: Sequence[str], environment: dict[str, str], error_type: str
    ) -> Process:
        try:
            on_record = self._logged if name == RUNTIME else None
            process = Process(name, argv, environment, self.config.cwd, self._printed, on_record)
        except OSError as error:
            raise SandboxError(
                error_type, f"{name} cannot be started: {argv[0]}: {error.strerror}"
            ) from error
        process.exited.add_done_callback(lambda exited: self._ended(name, exited.result()))
        return process

    def _ended(self, name: str, status: int) -> None:
        if self.is_stopping or self._failure.done():
            return
        how = f"exit status {status}" if status >= 0 else f"signal {-status}"
        if name == RUNTIME:
            text = (
                f"Runtime exited with error: {how}"
                if status
                else "Runtime exited without providing a reason"
            )
            self._failure.set_result(SandboxError("Runtime.ExitError", text))
        else:
            self._failure.set_result(
                SandboxError("Extension.Crash", f"extension {name} exited before SHUTDOWN: {how}")
            )

    def _raise_failure(self) -> None:
        if self._failure.done():
            raise self._failure.result()

    async def _find_worker(self, ends_at_s: float) -> None:
        while not self.runtime.can_take_event:
            # All waiting invocations are notified of a free worker; the first that runs takes it.
            is_free = await self._comes_true(lambda: self.runtime.can_take_event, ends_at_s)
            if not is_free and time.monotonic() >= ends_at_s:
                raise SandboxTimeoutError("no worker of the runtime polled in time")

    async def _comes_true(self, holds: Callable[[], bool], ends_at_s: float) -> bool:
        """Whether it holds in time; a process that ends meanwhile raises SandboxError."""
        waiting = asyncio.ensure_future(self.changes.until(holds))
        either: set[asyncio.Future[Any]] = {waiting, self._failure}
        try:
            left_s = max(0.0, ends_at_s - time.monotonic())
            await asyncio.wait(either, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not holds():
            self._raise_failure()
        return holds()

    def _printed(self, name: str, text: str) -> None:
        self.telemetry.line("function" if name == RUNTIME else "extension", text)
        self._on_line(name, text)

    def _logged(self, text: str, at_s: float) -> None:
        self.telemetry.line("function", text, at_s)
        for line in text.splitlines():
            self._on_line(RUNTIME, line)

    def _who_is_missing(self) -> str:
        runtime = [] if self.runtime.is_ready else ["the runtime"]
        missing = runtime + [f"extension {name}" for name in self.extensions.busy()]
        return f"{' and '.join(missing)} did not ask for an event"


def _end(invocation: Invocation) -> tuple[str, str]:
    """The platform's words for the end of an invocation that has its result."""
    error_type = invocation.result.result().error_type
    return ("error", error_type) if error_type else ("success", "")


def bootstrap(wrapper: Path | None, command: Sequence[str]) -> list[str]:
    """The runtime's command line, as a managed runtime's bootstrap makes it: 127 for a wrapper that
    is no file, 126 for one that may not be executed.
    """
    if wrapper is None:
        return list(command)
    if not wrapper.is_file():
        return ["/bin/sh", "-c", 'echo "$0: does not exist" >&2; exit 127', str(wrapper)]
    if not os.access(wrapper, os.X_OK):
        return ["/bin/sh", "-c", 'echo "$0: is not an executable" >&2; exit 126', str(wrapper)]
    return [str(wrapper.absolute()), *command]
