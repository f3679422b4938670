"""A local Lambda: Runtime API, Extensions API, invoke endpoint and OTLP receiver, for tests and for
a developer's machine.
"""

from lrap_otel.emulator.config import Config
from lrap_otel.emulator.emulator import Emulator
from lrap_otel.emulator.outcome import ExtensionReport, Outcome, Result
from lrap_otel.emulator.sandbox import SandboxError, SandboxTimeoutError
from lrap_otel.emulator.signals import LogRecord, Metric, Span

__all__ = [
    "Config",
    "Emulator",
    "ExtensionReport",
    "LogRecord",
    "Metric",
    "Outcome",
    "Result",
    "SandboxError",
    "SandboxTimeoutError",
    "Span",
]
