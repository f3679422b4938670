"""Exporters of other people's packages, loaded only if a setting asks for one."""

import sys

from lrap_otel.telemetry.export.endpoint import secrets_of, shown
from lrap_otel.telemetry.export.exporter import Exporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.telemetry.export.sdk.exporters import Exporters
    from lrap_otel.telemetry.settings import ExportSettings

_ROOT = __file__.rpartition("/lrap_otel/")[0]
_PATHS_LIMIT_BYTES = 65_536
# By the name that each registers.
_PACKAGES = {
    "otlp_proto_grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "otlp_proto_http": "opentelemetry-exporter-otlp-proto-http",
}
OURS_INSTEAD = "OTLP over http/protobuf is used instead"


def exporter_of(settings: "ExportSettings", warn: "Callable[[str], None]") -> "Exporter | Exporters":
    """The exporters that `settings` ask for; our own for each signal that has none of them.

    `settings` are changed to what is used. `warn` takes a line for people.
    """
    sys.path += [folder for folder in package_folders(_ROOT) if folder not in sys.path]
    why = ""
    try:
        from lrap_otel.telemetry.export.sdk.exporters import exporters_of  # noqa: PLC0415 - the SDK: half a second

        return exporters_of(settings, warn)
    except ModuleNotFoundError:
        pass
    except Exception as error:  # noqa: BLE001 - of others; the SDK raises as it is imported what a variable's value is worth
        secrets = secrets_of([*settings.traces.headers.values(), *settings.metrics.headers.values()])
        why = shown(f"{type(error).__name__}: {error}", secrets)
    for signal in (settings.traces, settings.metrics):
        for name, asked_by in signal.others.items():
            warn(f"{asked_by}: the SDK cannot be used ({why}); {OURS_INSTEAD}" if why else missing(name, asked_by))
        signal.enabled = signal.enabled or bool(signal.others)
    return Exporter(settings, warn)


def missing(name: str, asked_by: str) -> str:
    """The warning for an exporter that no installed package registers."""
    package = _PACKAGES.get(name, f"a package that registers the exporter {name}")
    return (
        f"{asked_by} needs {package}, which is not there (`make layer FLAVOUR=sdk` builds a layer with "
        f"OpenTelemetry's SDK and exporters); {OURS_INSTEAD}"
    )


def package_folders(root: str) -> list[str]:
    """The folders that packages of others may lie in: what a checkout's ``.lrap-paths`` names, and the layer's own.

    `root` is the folder that holds our package. A folder need not be there.
    """
    # The interpreter's own word for its architecture: under emulation the kernel's is another.
    multiarch = getattr(sys.implementation, "_multiarch", "")
    return [*_named(root), f"{root}/lrap-otel/{multiarch.partition('-')[0]}/packages"]


def _named(root: str) -> list[str]:
    """The value of LRAP_DEPENDENCIES, with or without quotes around it."""
    try:
        with open(f"{root}/.lrap-paths", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 - slow
            lines = file.read(_PATHS_LIMIT_BYTES).splitlines()
    except OSError:
        return []
    values = [line.partition("=")[2].strip() for line in lines if line.startswith("LRAP_DEPENDENCIES=")]
    return [value.strip("'\"") for value in values if value.strip("'\"")]
