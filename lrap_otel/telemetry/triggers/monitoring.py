"""CloudWatch: log events from a subscription, and alarms that invoke a function directly."""

from __future__ import annotations

import re
from binascii import a2b_base64

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_object, as_text
from lrap_otel.telemetry.triggers import times
from lrap_otel.telemetry.triggers.description import Description, Trigger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.telemetry.triggers.description import Event, Options

# The first log event is the oldest, and is within this many bytes. No more is unpacked: 6 MB of
# gzip may be 6 GB of zeros.
UNPACKED_LIMIT_BYTES = 65_536
# Enough base64 for that many bytes, even if nothing in it is compressed.
_PACKED_LIMIT_CHARACTERS = 88_000

_TIMESTAMP = rb'"timestamp"\s*:\s*([0-9]{1,15})\b'


def _describe_logs(event: Event, _options: Options) -> Description:
    description = Description(semconv.TRIGGER_OTHER)
    description.made_s = _oldest_log_event_s(as_text(as_object(event.get("awslogs")).get("data")))
    return description


def _oldest_log_event_s(data: str) -> float | None:
    # In a JSON string a quotation mark has a backslash before it, so this is a member, not text.
    # Nothing before the log events contains it.
    found = re.search(_TIMESTAMP, _unpacked(data[:_PACKED_LIMIT_CHARACTERS]))
    return times.from_milliseconds(int(found[1])) if found else None


def _unpacked(data: str) -> bytes:
    """The first bytes of what base64 of gzip contains; empty if it is something else."""
    import zlib  # noqa: PLC0415 - half a millisecond at every start, for one kind of event

    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(
            a2b_base64(data[: len(data) & ~3]), UNPACKED_LIMIT_BYTES
        )
    except (ValueError, zlib.error):
        return b""


def _is_alarm(event: Event) -> bool:
    return event.get("source") == "aws.cloudwatch" and "alarmData" in event


def _describe_alarm(event: Event, _options: Options) -> Description:
    description = Description(semconv.TRIGGER_OTHER)
    description.made_s = times.from_iso(event.get("time"))
    return description


TRIGGERS = (
    Trigger(
        "cloudwatch_logs",
        "awslogs",
        lambda event: "data" in as_object(event.get("awslogs")),
        _describe_logs,
    ),
    Trigger("cloudwatch_alarm", "alarmArn", _is_alarm, _describe_alarm),
)
