"""Exporters of other people's packages, loaded only if a setting asks for one."""

import sys

from lrap_otel.telemetry.export.endpoint import secrets_of, shown
from lrap_otel.telemetry.export.packages import OURS_INSTEAD, missing, package_folders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lrap_otel.telemetry.export.roles import Finishing, Way
    from lrap_otel.telemetry.settings import ExportSettings

_ROOT = __file__.rpartition("/lrap_otel/")[0]


def ways_of(
    settings: "ExportSettings", warn: "Callable[[str], None]"
) -> "tuple[dict[str, list[Way]], Sequence[Finishing]]":
    """The ways of each signal by the exporters that `settings` ask for, and those that are to be
    finished in the end.

    `settings` are changed to what is used: our own exporter for a signal that has no other. `warn`
    takes a line for people.
    """
    sys.path += [folder for folder in package_folders(_ROOT) if folder not in sys.path]
    why = ""
    try:
        from lrap_otel.telemetry.export.sdk import exporters  # noqa: PLC0415 - the SDK: half a second

        return exporters.ways_of(settings, warn)
    except ModuleNotFoundError:
        pass
    except Exception as error:  # noqa: BLE001 - of others; the SDK raises as it is imported what a variable's value is worth
        secrets = secrets_of(
            [*settings.traces.headers.values(), *settings.metrics.headers.values()]
        )
        why = shown(f"{type(error).__name__}: {error}", secrets)
    for signal in (settings.traces, settings.metrics):
        for name, asked_by in signal.others.items():
            warn(
                f"{asked_by}: the SDK cannot be used ({why}); {OURS_INSTEAD}"
                if why
                else missing(name, asked_by)
            )
        signal.enabled = signal.enabled or bool(signal.others and not signal.has_console)
    return {}, []
