"""The exporters of packages that the settings ask for, by the names that these register."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import MetricReader

from lrap_otel.telemetry.export.deadline import Clock, Deadline
from lrap_otel.telemetry.export.endpoint import secrets_of, shown
from lrap_otel.telemetry.export.packages import OURS_INSTEAD, missing
from lrap_otel.telemetry.export.sdk import codec
from lrap_otel.telemetry.export.sdk.endpoint import SdkEndpoint
from lrap_otel.telemetry.export.sdk.job import Job
from lrap_otel.telemetry.export.ways import METRICS, TRACES

if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.telemetry.export.roles import Way
    from lrap_otel.telemetry.settings import ExportSettings, SignalSettings

    Warn = Callable[[str], None]

# OpenTelemetry's groups of entry points.
_GROUPS = {TRACES: "opentelemetry_traces_exporter", METRICS: "opentelemetry_metrics_exporter"}
# Their own time-out is in seconds; the specification's is in milliseconds.
_STOCK = frozenset({"otlp_proto_grpc", "otlp_proto_http"})
# For an exporter to be imported and made; the proxy waits for none of it.
_LOAD_S = 10.0


def ways_of(settings: ExportSettings, warn: Warn) -> tuple[dict[str, list[Way]], list[SdkEndpoint]]:
    """The ways of each signal by the exporters that are asked for and can be had, and all of these.

    `settings` are changed to what is used: our own exporter for a signal that has no other.
    """
    ways: dict[str, list[Way]] = {}
    endpoints: list[SdkEndpoint] = []
    for signal, own in ((TRACES, settings.traces), (METRICS, settings.metrics)):
        loaded = [_load(signal, name, asked_by, own, warn) for name, asked_by in own.others.items()]
        found = [each for each in loaded if each is not None]
        own.enabled = own.enabled or bool(own.others and not found and not own.has_console)
        ways[signal] = [(each, codec) for each in found]
        endpoints += found
    return ways, endpoints


def _load(
    signal: str, name: str, asked_by: str, settings: SignalSettings, warn: Warn
) -> SdkEndpoint | None:
    """The exporter that a package registers by this name; None, and a warning, if there is none
    that can be used.
    """
    options = {"timeout": settings.timeout_ms / 1_000} if name in _STOCK else {}
    registered = entry_points(group=_GROUPS[signal])
    if name not in registered.names:
        there = ", ".join(sorted(registered.names - {"otlp", "console"}))
        warn(
            missing(name, asked_by)
            + (f". Exporters of {signal} that are there: {there}" if there else "")
        )
        return None

    def make() -> Any:
        made_by = registered[name].load()
        if isinstance(made_by, type) and issubclass(made_by, MetricReader):
            raise TypeError("it is a reader, which waits to be asked, and no exporter")
        return made_by(**options)

    job = Job(make)
    if not job.wait(Deadline(Clock().now_s() + _LOAD_S, clock=Clock())):
        why = f"it has not loaded in {_LOAD_S:.0f} s"
    elif job.error is not None:
        why = f"{type(job.error).__name__}: {job.error}"
    else:
        return SdkEndpoint(name, make, job.result, settings)
    why = shown(why, secrets_of(settings.headers.values()))
    warn(f"{asked_by}: the exporter {name} of {signal} cannot be used ({why}); {OURS_INSTEAD}")
    return None
