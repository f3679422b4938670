"""The exporter that the settings ask for, put together."""

import _thread

from lrap_otel.telemetry.export.exporter import Exporter
from lrap_otel.telemetry.export.ways import METRICS, TRACES, Ways

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lrap_otel.telemetry.export.roles import Finishing, Way
    from lrap_otel.telemetry.export.several import Exporters
    from lrap_otel.telemetry.settings import ExportSettings


def exporter_of(
    settings: "ExportSettings", warn: "Callable[[str], None]", print_out: "Callable[[str], None]"
) -> "Exporter | Exporters":
    """One exporter, or several if a signal goes more than one way.

    `settings` are changed to what is used. `warn` takes a line for people, `print_out` a part of a
    line for the function's log.
    """
    lock = _thread.allocate_lock()

    def warn_alone(text: str) -> None:
        with lock:
            warn(text)

    others: dict[str, list[Way]] = {}
    finishing: Sequence[Finishing] = ()
    if settings.traces.others or settings.metrics.others:
        from lrap_otel.telemetry.export.others import ways_of  # noqa: PLC0415 - few ask for one

        others, finishing = ways_of(settings, warn)
    ours = Ways(settings, warn_alone, print_out)
    traces, metrics = ([*ours.of(name), *others.get(name, [])] for name in (TRACES, METRICS))
    count = max(len(traces), len(metrics), 1)
    exporters = [
        Exporter(
            settings, warn_alone, {TRACES: _nth(traces, number), METRICS: _nth(metrics, number)}
        )
        for number in range(count)
    ]
    if count == 1 and not finishing:
        return exporters[0]
    from lrap_otel.telemetry.export.several import Exporters  # noqa: PLC0415 - few have more than one

    return Exporters(exporters, finishing, lock, warn)


def _nth(ways: "list[Way]", number: int) -> "Way | None":
    return ways[number] if number < len(ways) else None
