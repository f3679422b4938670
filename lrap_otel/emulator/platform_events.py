"""What the platform reports over the Telemetry API of one sandbox: init, invocations, restore.

Source: AWS Lambda developer guide, "Telemetry API event schema reference".
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrap_otel.emulator.telemetry_api import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lrap_otel.emulator.config import Config
    from lrap_otel.emulator.extension import Extension
    from lrap_otel.emulator.invocation import Invocation
    from lrap_otel.emulator.process import Process
    from lrap_otel.emulator.telemetry_api import TelemetryApi

KIB_PER_MIB = 1024


class PlatformEvents:
    """Reports each step of one sandbox to `api`."""

    def __init__(self, config: Config, api: TelemetryApi) -> None:
        self._config = config
        self._api = api
        self._phase = "init"
        self._init_began_s = time.time()
        self._init_ms = 0.0
        self._is_first = True
        self._max_memory_mb = 0

    def init_begins(self, phase: str) -> None:
        """``phase`` is ``init``, or ``invoke`` for one that runs within an invocation."""
        self._phase = phase
        self._init_began_s = time.time()
        record = self._init() | {
            "functionName": self._config.function_name,
            "functionVersion": self._config.function_version,
            "runtimeVersion": f"{self._config.runtime}.v1",
            "runtimeVersionArn": f"arn:aws:lambda:us-east-1::runtime:{'0' * 64}",
            "instanceId": "emulated",
            "instanceMaxMemory": self._config.memory_mb * 1024 * 1024,
        }
        self._api.platform("initStart", record, self._init_began_s)

    def runtime_initialized(self, status: str = "success", error_type: str = "") -> None:
        """The runtime has asked for its first event, or will not."""
        self._api.platform("initRuntimeDone", self._init() | _ended(status, error_type))

    def extension_ready(self, extension: Extension) -> None:
        """An extension has asked for its first event."""
        self._api.platform(
            "extension",
            {"name": extension.name, "state": "Ready", "events": list(extension.events)},
        )

    def initialized(self, status: str = "success", error_type: str = "") -> None:
        """Init is over."""
        self._init_ms = round((time.time() - self._init_began_s) * 1000, 3)
        metrics = {"metrics": {"durationMs": self._init_ms}}
        self._api.platform("initReport", self._init() | metrics | _ended(status, error_type))

    def invocation_begins(self, invocation: Invocation) -> None:
        """Its event is about to be delivered."""
        record = {"requestId": invocation.request_id, "version": self._config.function_version}
        self._api.platform("start", record | _tracing(invocation))

    def runtime_done(self, invocation: Invocation, status: str, error_type: str = "") -> None:
        """The runtime has given its result and asked for the next event, or will not."""
        if self._config.is_managed:
            return
        record: dict[str, Any] = {"requestId": invocation.request_id} | _ended(status, error_type)
        duration_ms = invocation.elapsed_ms()
        record["metrics"] = {"durationMs": round(duration_ms, 3)}
        if invocation.result.done():
            record["metrics"]["producedBytes"] = len(invocation.result.result().payload)
            record["spans"] = [
                *_response(invocation),
                _span(invocation, "runtimeOverhead", invocation.result_ms, duration_ms),
            ]
        self._api.platform("runtimeDone", record | _tracing(invocation))

    def invocation_ends(
        self,
        invocation: Invocation,
        runtime_ms: float,
        status: str,
        error_type: str,
        processes: Iterable[Process],
    ) -> None:
        """Everybody has asked for the next event, or the sandbox is reset; ``runtime_ms``: after so
        long the runtime was done.
        """
        record: dict[str, Any] = {"requestId": invocation.request_id} | _ended(status, error_type)
        duration_ms = invocation.elapsed_ms()
        record["metrics"] = {"durationMs": round(duration_ms, 3)}
        if self._config.is_managed:
            record["spans"] = _response(invocation) if invocation.result.done() else []
        else:
            record["metrics"] |= self._billed(duration_ms, processes)
            record["spans"] = [_span(invocation, "extensionOverhead", runtime_ms, duration_ms)]
        self._api.platform("report", record | _tracing(invocation))

    def restored(self, began_s: float, runtime_done_s: float, status: str = "success") -> None:
        """The sandbox was made from a snapshot: what its init had said, again, and the restore.
        Unix times.
        """
        snapshot = {"initializationType": "snap-start", "phase": "init"}
        about = {
            "functionName": self._config.function_name,
            "functionVersion": self._config.function_version,
        }
        old_s = began_s - 3600
        self._api.platform("initStart", snapshot | about, old_s)
        self._api.platform("initRuntimeDone", snapshot | {"status": "success"}, old_s + 1)
        metrics = {"metrics": {"durationMs": 1000.0}}
        self._api.platform("initReport", snapshot | {"status": "success"} | metrics, old_s + 1)
        version = {"runtimeVersion": f"{self._config.runtime}.v1"}
        self._api.platform("restoreStart", about | version | {"instanceId": "emulated"}, began_s)
        self._api.platform("restoreRuntimeDone", {"status": status}, runtime_done_s)
        duration = {"metrics": {"durationMs": round((runtime_done_s - began_s) * 1000, 3)}}
        self._api.platform("restoreReport", {"status": status} | duration, runtime_done_s)

    def _init(self) -> dict[str, str]:
        return {"initializationType": self._config.initialization_type, "phase": self._phase}

    def _billed(self, duration_ms: float, processes: Iterable[Process]) -> dict[str, Any]:
        """Since August 2025 an init before the first invocation is billed with it."""
        init_ms = self._init_ms if self._is_first and self._phase == "init" else 0.0
        self._is_first = False
        self._max_memory_mb = max(self._max_memory_mb, _memory_mb(processes))
        figures: dict[str, Any] = {
            "billedDurationMs": math.ceil(duration_ms + init_ms),
            "memorySizeMB": self._config.memory_mb,
            "maxMemoryUsedMB": self._max_memory_mb,
        }
        return figures | ({"initDurationMs": init_ms} if init_ms else {})


def _ended(status: str, error_type: str) -> dict[str, str]:
    return {"status": status} | ({"errorType": error_type} if error_type else {})


def _tracing(invocation: Invocation) -> dict[str, Any]:
    header = invocation.trace_header
    return (
        {"tracing": {"type": "X-Amzn-Trace-Id", "value": header, "spanId": os.urandom(8).hex()}}
        if header
        else {}
    )


def _response(invocation: Invocation) -> list[dict[str, Any]]:
    return [
        _span(invocation, "responseLatency", 0.0, invocation.answer_ms),
        _span(invocation, "responseDuration", invocation.answer_ms, invocation.result_ms),
    ]


def _span(invocation: Invocation, name: str, began_ms: float, ended_ms: float) -> dict[str, Any]:
    start_s = invocation.began_at_s + began_ms / 1000
    return {
        "name": name,
        "start": timestamp(start_s),
        "durationMs": round(max(ended_ms - began_ms, 0.0), 3),
    }


def _memory_mb(processes: Iterable[Process]) -> int:
    """The peaks of all processes of these groups together; those that have ended are not in it."""
    groups = {process.process_id for process in processes}
    used_kib = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and groups:
            used_kib += _peak_kib(folder, groups)
    return math.ceil(used_kib / KIB_PER_MIB)


def _peak_kib(folder: Path, groups: set[int]) -> int:
    try:
        # After the name, which may hold blanks and brackets: state, parent, group.
        group = int((folder / "stat").read_text().rpartition(")")[2].split()[2])
        if group not in groups:
            return 0
        status = (folder / "status").read_text()
    except (OSError, ValueError, IndexError):
        return 0
    peak = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak[0].split()[1]) if peak else 0
