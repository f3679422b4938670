"""The end of a sandbox: the runtime first, then SHUTDOWN to the extensions, and SIGKILL to those
that are late.
"""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Any

from lrap_otel.emulator.outcome import ExtensionReport

if TYPE_CHECKING:
    from lrap_otel.emulator.outcome import Reason
    from lrap_otel.emulator.process import Process
    from lrap_otel.emulator.sandbox import Sandbox

EXTERNAL_BUDGET_S = 2.0
INTERNAL_BUDGET_S = 0.5
RUNTIME_SHARE = 0.3


async def shut_down(sandbox: Sandbox, reason: Reason) -> list[ExtensionReport]:
    """End everything in Lambda's order and within its budget; afterwards nothing of the sandbox is
    left.
    """
    sandbox.is_stopping = True
    began_s = time.monotonic()
    budget_s = _budget_s(sandbox)
    deadline_ms = int((time.time() + budget_s) * 1000)
    await _end_runtime(sandbox, budget_s * RUNTIME_SHARE)
    sandbox.extensions.shutdown(reason, deadline_ms)
    # The processes run once more, and get the platform's waiting events at once.
    sandbox.telemetry.thaw(at_once=True)
    endings = [
        _end_extension(sandbox, process, began_s, budget_s)
        for process in sandbox.extension_processes.values()
    ]
    return list(await asyncio.gather(*endings))


def _budget_s(sandbox: Sandbox) -> float:
    if sandbox.extension_processes:
        return EXTERNAL_BUDGET_S
    return INTERNAL_BUDGET_S if sandbox.extensions.registered else 0.0


async def _end_runtime(sandbox: Sandbox, budget_s: float) -> None:
    runtime = sandbox.runtime_process
    if runtime is None:
        return
    if sandbox.extensions.registered:
        runtime.signal(signal.SIGTERM)
        await asyncio.wait([runtime.exited], timeout=budget_s)
    await runtime.destroy()


async def _end_extension(
    sandbox: Sandbox, process: Process, began_s: float, budget_s: float
) -> ExtensionReport:
    extension = sandbox.extensions.registered.get(process.name)
    is_subscribed = extension is not None and "SHUTDOWN" in extension.events
    left_s = began_s + budget_s - time.monotonic() if is_subscribed else 0.0
    # Measured: Managed Instances wait for every holder of the extension's output, on-demand for its
    # first process.
    ends: list[asyncio.Future[Any]] = [
        process.exited,
        *([process.closed] if sandbox.config.is_managed else []),
    ]
    _, late = await asyncio.wait(ends, timeout=max(0.0, left_s))
    ms = (time.monotonic() - began_s) * 1000
    await process.destroy()
    has_seen = extension is not None and extension.has_seen_shutdown
    return ExtensionReport(
        process.name, is_subscribed, has_seen, process.exited.result(), bool(late), ms
    )
