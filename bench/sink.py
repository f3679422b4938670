"""Where spans arrive: the upstream program with ``--otlp`` takes and keeps the bodies, which are
read only afterwards.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

LENGTH_BYTES = 8
GZIP = b"\x1f\x8b"


class Sink:
    """An OTLP/HTTP receiver on a port of its own, which takes `delay_ms` for each answer."""

    def __init__(self, folder: Path, cpus: Collection[int], delay_ms: int = 0) -> None:
        self._kept = folder / "otlp"
        self._server = Upstream(cpus, "--otlp", str(self._kept), f"--otlp-delay-ms={delay_ms}")
        self.endpoint = f"http://127.0.0.1:{self._server.port}"

    @property
    def has_spans(self) -> bool:
        """Whether any have arrived."""
        return self._kept.stat().st_size > 0

    def close(self) -> int:
        """Stop receiving; give the number of different spans that arrived."""
        self.kill()
        return len({span for body in _bodies(self._kept.read_bytes()) for span in _span_ids(body)})

    def kill(self) -> None:
        """Stop receiving."""
        self._server.close()


def _bodies(kept: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(kept):
        size = int.from_bytes(kept[place : place + LENGTH_BYTES], "little")
        place += LENGTH_BYTES + size
        body = kept[place - size : place]
        yield gzip.decompress(body) if body.startswith(GZIP) else body


def _span_ids(body: bytes) -> Iterator[bytes]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            yield from (span.span_id for span in scope.spans)
