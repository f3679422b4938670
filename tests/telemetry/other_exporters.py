"""A distribution of somebody's in a folder of its own, with exporters under OpenTelemetry's entry
points.
"""

from __future__ import annotations

from pathlib import Path

import opentelemetry.sdk

MODULE = '''
import os
import sys
import threading

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricReader
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

FOLDER = os.environ["KEPT_IN"]


def keep(name, text):
    with open(os.path.join(FOLDER, name), "a") as file:
        file.write(text + "\\n")


class Spans(SpanExporter):
    """Has all written when it flushes, as one that buffers."""

    def __init__(self):
        self.kept = []

    def export(self, spans):
        self.kept += [f"{span.name} {span.context.trace_id:032x} {span.attributes['faas.trigger']}" for span in spans]
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis=30000):
        for line in self.kept:
            keep("spans", line)
        self.kept.clear()
        return True

    def shutdown(self):
        keep("spans", "shutdown")


class Metrics(MetricExporter):
    def export(self, metrics_data, timeout_millis=10000, **options):
        for resource in metrics_data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    keep("metrics", metric.name)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis=10000):
        return True

    def shutdown(self, timeout_millis=30000, **options):
        keep("metrics", "shutdown")


class Raises(SpanExporter):
    def export(self, spans):
        keep("raises", "asked")
        raise LookupError("no such project; the key was abcdefgh-0123")


class Fails(SpanExporter):
    """Once, and then no more."""

    failed = False

    def export(self, spans):
        if not Fails.failed:
            Fails.failed = True
            keep("fails", "failed")
            return SpanExportResult.FAILURE
        keep("fails", f"{len(spans)}")
        return SpanExportResult.SUCCESS

    def shutdown(self):
        pass


class Exits(SpanExporter):
    def export(self, spans):
        sys.exit(3)


class Hangs(SpanExporter):
    def export(self, spans):
        keep("hangs", "asked")
        threading.Event().wait()

    def shutdown(self):
        threading.Event().wait()


class Broken(SpanExporter):
    def __init__(self):
        raise ValueError("no project is set")


class Reader(MetricReader):
    pass
'''
ENTRY_POINTS = """
[opentelemetry_traces_exporter]
kept = kept_in_a_file:Spans
raises = kept_in_a_file:Raises
fails = kept_in_a_file:Fails
exits = kept_in_a_file:Exits
hangs = kept_in_a_file:Hangs
broken = kept_in_a_file:Broken
gone = kept_in_a_file:Gone

[opentelemetry_metrics_exporter]
kept = kept_in_a_file:Metrics
reader = kept_in_a_file:Reader
"""


def write(folder: Path) -> Path:
    """Write the distribution, beside all that is installed here, into `folder`."""
    installed = Path(next(iter(opentelemetry.sdk.__path__))).parents[1]
    for path in installed.iterdir():
        if path.name != "__pycache__" and not path.name.startswith("lrap_otel"):
            (folder / path.name).symlink_to(path)
    (folder / "kept_in_a_file.py").write_text(MODULE)
    information = folder / "kept_in_a_file-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: kept-in-a-file\nVersion: 1.0\n"
    )
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder
