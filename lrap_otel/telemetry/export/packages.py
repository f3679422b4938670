"""Installed packages of exporters: their folders, and the warning if one is missing."""

import sys

_PATHS_LIMIT_BYTES = 65_536
# By the name that each registers.
_PACKAGES = {
    "otlp_proto_grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "otlp_proto_http": "opentelemetry-exporter-otlp-proto-http",
}
OURS_INSTEAD = "OTLP over http/protobuf is used instead"


def missing(name: str, asked_by: str) -> str:
    """The warning for an exporter that no installed package registers."""
    package = _PACKAGES.get(name, f"a package that registers the exporter {name}")
    return (
        f"{asked_by} needs {package}, which is not there (`make layer FLAVOUR=sdk` builds a "
        f"layer with "
        f"OpenTelemetry's SDK and exporters); {OURS_INSTEAD}"
    )


def package_folders(root: str) -> list[str]:
    """The folders that packages of others may lie in: what a checkout's ``.lrap-paths`` names, and
    the layer's own.

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
    values = [
        line.partition("=")[2].strip() for line in lines if line.startswith("LRAP_DEPENDENCIES=")
    ]
    return [value.strip("'\"") for value in values if value.strip("'\"")]
