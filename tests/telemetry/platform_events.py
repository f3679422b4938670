"""Events as Lambda's Telemetry API tells them, for tests; of the invocation and in the time of
`proxy_records`.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from tests.telemetry.proxy_records import DELIVERED_NS, REQUEST_ID

DELIVERED = datetime.fromtimestamp(DELIVERED_NS / 1e9, timezone.utc)


def at(ms: float) -> str:
    """So many milliseconds after the delivery."""
    return (
        (DELIVERED + timedelta(milliseconds=ms))
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def event(kind: str, ms: float, **record: Any) -> dict[str, Any]:
    return {"time": at(ms), "type": f"platform.{kind}", "record": record}


def init(
    ms: float = -400,
    duration_ms: float = 350.5,
    *,
    kind: str = "on-demand",
    phase: str = "init",
    **end: Any,
) -> list[dict[str, Any]]:
    """One init, from its start to its report."""
    about = {"initializationType": kind, "phase": phase}
    end = end or {"status": "success"}
    return [
        event(
            "initStart",
            ms,
            **about,
            functionName="orders",
            runtimeVersion="python:3.14.v7",
            runtimeVersionArn="arn",
        ),
        event("initRuntimeDone", ms + duration_ms - 50.5, **about, **end),
        event(
            "initReport", ms + duration_ms + 3, **about, metrics={"durationMs": duration_ms}, **end
        ),
    ]


def restore(ms: float = -300, duration_ms: float = 200.0) -> list[dict[str, Any]]:
    return [
        event("restoreStart", ms, functionName="orders", runtimeVersion="java:21.v1"),
        event("restoreRuntimeDone", ms + duration_ms - 20, status="success"),
        event(
            "restoreReport", ms + duration_ms, status="success", metrics={"durationMs": duration_ms}
        ),
    ]


def start(request_id: str = REQUEST_ID, ms: float = 0) -> dict[str, Any]:
    return event("start", ms, requestId=request_id, version="7")


def runtime_done(request_id: str = REQUEST_ID, ms: float = 26, **end: Any) -> dict[str, Any]:
    spans = [
        {"name": "responseLatency", "start": at(0), "durationMs": 23.02},
        {"name": "responseDuration", "start": at(23), "durationMs": 2.1},
        {"name": "runtimeOverhead", "start": at(25), "durationMs": 0.9},
    ]
    end = end or {"status": "success", "spans": spans}
    return event(
        "runtimeDone",
        ms,
        requestId=request_id,
        metrics={"durationMs": 26.0, "producedBytes": 6},
        **end,
    )


def report(
    request_id: str = REQUEST_ID, ms: float = 40, used_mb: int = 64, init_ms: float = 0, **end: Any
) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        "durationMs": 30.25,
        "billedDurationMs": 31,
        "memorySizeMB": 128,
        "maxMemoryUsedMB": used_mb,
    }
    if init_ms:
        metrics["initDurationMs"] = init_ms
    spans = [{"name": "extensionOverhead", "start": at(26), "durationMs": 4.25}]
    end = end or {"status": "success"}
    return event("report", ms, requestId=request_id, metrics=metrics, spans=spans, **end)


def line(record: Any, ms: float = 10, kind: str = "function") -> dict[str, Any]:
    return {"time": at(ms), "type": kind, "record": record}
