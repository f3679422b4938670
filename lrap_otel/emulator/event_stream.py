"""AWS's event stream encoding, which InvokeWithResponseStream answers in.

A message is its length, the length of its header fields, a checksum of both, the fields, the
payload, and a checksum of all before. Source: Smithy, "Amazon Event Stream Specification".
"""

from __future__ import annotations

import struct
import zlib

CONTENT_TYPE = "application/vnd.amazon.eventstream"
STRING = 7


def message(event_type: str, content_type: str, payload: bytes) -> bytes:
    """One event, such as ``PayloadChunk``, as bytes."""
    fields = {":message-type": "event", ":event-type": event_type, ":content-type": content_type}
    head = b"".join(
        struct.pack(">B", len(name))
        + name.encode()
        + struct.pack(">BH", STRING, len(value))
        + value.encode()
        for name, value in fields.items()
    )
    # Prelude and its checksum are 12 bytes, the last checksum is 4.
    prelude = struct.pack(">II", 12 + len(head) + len(payload) + 4, len(head))
    checked = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return checked + struct.pack(">I", zlib.crc32(checked))
