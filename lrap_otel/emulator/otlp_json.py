"""OTLP as JSON: one request a line, as the OpenTelemetry Collector's file exporter writes them.

Source: OTLP specification, "JSON Protobuf Encoding": ids are hexadecimal, everything else as
protobuf's JSON.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

IDS = frozenset({"traceId", "spanId", "parentSpanId"})


def to_line(message: Message) -> str:
    """An export request as one line, without the line's end."""
    plain = json_format.MessageToDict(message, use_integers_for_enums=True)
    return json.dumps(
        _with_ids(plain, lambda text: base64.b64decode(text).hex()), separators=(",", ":")
    )


def parse(text: bytes | str, message: Message) -> None:
    """Fill an export request from its JSON; ValueError if it is none. Unknown members
    are ignored.
    """
    try:
        plain = _with_ids(
            json.loads(text), lambda text: base64.b64encode(bytes.fromhex(text)).decode()
        )
        if not isinstance(plain, dict):
            raise TypeError("it is no object")
        json_format.ParseDict(plain, message, ignore_unknown_fields=True)
    except (
        json_format.ParseError,
        TypeError,
        AttributeError,
        RecursionError,
        binascii.Error,
    ) as error:
        raise ValueError(f"not OTLP: {error}") from error


def _with_ids(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {
            name: change(member)
            if name in IDS and isinstance(member, str)
            else _with_ids(member, change)
            for name, member in value.items()
        }
    return [_with_ids(item, change) for item in value] if isinstance(value, list) else value
