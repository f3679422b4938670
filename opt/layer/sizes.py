"""The size of each part of the layer, unpacked and zipped, and the limits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from opt.layer.content import Built

MB = 1_000_000
# Zipped and unzipped MB: of both architectures together, and of one.
LIMITS = {2: (12, 34), 1: (7, 20)}

_PARTS = (
    ("interpreter x86_64", "lrap-otel/x86_64/"),
    ("interpreter aarch64", "lrap-otel/aarch64/"),
    ("standard library", "lrap-otel/lib/"),
    ("lrap_otel", "lrap_otel/"),
    ("CA certificates", "lrap-otel/cacert.pem"),
    ("licences", "lrap-otel/licenses/"),
    ("scripts", ""),
)
_PACKAGES = "/packages/"


class Size(NamedTuple):
    """In bytes."""

    unzipped: int
    zipped: int


@dataclass(frozen=True)
class Table:
    """Sizes of `parts` by name, in the order to print; `limits` in MB, none for a flavour without
    limits.
    """

    parts: dict[str, Size]
    limits: tuple[int, int] | None

    @property
    def total(self) -> Size:
        """The sum of all parts."""
        return Size(
            sum(part.unzipped for part in self.parts.values()),
            sum(part.zipped for part in self.parts.values()),
        )

    def is_within_limits(self) -> bool:
        """Whether the layer keeps its limits."""
        return self.limits is None or (
            self.total.zipped <= self.limits[0] * MB and self.total.unzipped <= self.limits[1] * MB
        )

    def lines(self) -> list[str]:
        """The table as text, in MB."""
        lines = [f"{'MB':22}{'unzipped':>10}{'zipped':>10}"]
        lines += [_line(name, size) for name, size in [*self.parts.items(), ("all", self.total)]]
        if self.limits is not None:
            lines.append(f"{'at most':22}{self.limits[1]:>10}{self.limits[0]:>10}")
        return lines

    def in_bytes(self) -> dict[str, dict[str, int]]:
        """The table for JSON: part, or ``all``, to its sizes."""
        return {name: size._asdict() for name, size in [*self.parts.items(), ("all", self.total)]}

    def save(self, path: Path) -> None:
        """Write the table as JSON, in bytes."""
        path.write_text(json.dumps(self.in_bytes(), indent=1) + "\n")


def measure(built: Built, zipped: Mapping[str, int]) -> Table:
    """Measure /opt. `zipped`: the bytes of each entry in the zip."""
    parts = {name: Size(0, 0) for name, _ in _PARTS} | {"packages": Size(0, 0)}
    for name, taken in zipped.items():
        part = (
            "packages"
            if _PACKAGES in name
            else next(part for part, start in _PARTS if name.startswith(start))
        )
        path = built.opt / name
        size = path.stat().st_size if path.is_file() else 0
        parts[part] = Size(parts[part].unzipped + size, parts[part].zipped + taken)
    # An interpreter from a folder may be of any size, and is packed by zlib, which takes 5 % more.
    has_limits = built.flavour == "default" and built.source != "folders"
    limits = LIMITS[len(built.architectures)] if has_limits else None
    return Table({name: size for name, size in parts.items() if size.zipped}, limits)


def _line(name: str, size: Size) -> str:
    return f"{name:22}{size.unzipped / MB:>10.2f}{size.zipped / MB:>10.2f}"
