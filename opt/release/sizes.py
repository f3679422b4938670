"""What the layer weighs beside others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opt.layer.sizes import MB, Size

if TYPE_CHECKING:
    from opt.layer.sizes import Table

# Of one architecture each; ours holds both. Datadog's are the sizes above which its own build
# fails; the others were built on 2026-11-30: opentelemetry-lambda c72580eb (collector 0.158.0),
# rotel-lambda-extension 0.1.3 (Rotel 0.2.0).
PEERS = {
    "Datadog's caps": Size(54 * MB, 27 * MB),
    "Collector": Size(54 * MB, 16_800_000),
    "Collector, Python layer": Size(62 * MB, 19_500_000),
    "Rotel": Size(18 * MB, 6_500_000),
}


def in_bytes(table: Table) -> dict[str, dict[str, dict[str, int]]]:
    """The table and the peers' as JSON has them."""
    return {
        "layer": table.in_bytes(),
        "peers": {name: size._asdict() for name, size in PEERS.items()},
    }


def lines(table: Table) -> list[str]:
    """The same as text, in MB."""
    peers = [
        f"{name:25}{size.unzipped / MB:>7.1f}{size.zipped / MB:>10.1f}"
        for name, size in PEERS.items()
    ]
    return [*table.lines(), "", "others, for one architecture", *peers]
