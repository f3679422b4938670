"""What the telemetry process gets to see of what is large: of an event of HTTP all but its body, of
a result its beginning and its end, as on the wire.
"""

from lrap_otel.ipc.records import CAPTURE_FIRST_BYTES, CAPTURE_LAST_BYTES
from lrap_otel.propagation.carrier.model import mask_escapes

# An event of no more goes as it is.
SMALL_BYTES = 8_192
# How far into an event its body is looked for: the rest of an HTTP event is no longer than a head.
_LOOKED_AT_BYTES = 32_768
_REQUEST_CONTEXT, _BODY = b'"requestContext":{', b',"body":"'
_ENDS = b'","isBase64Encoded":false}', b'","isBase64Encoded":true}'
_LONGEST_END_BYTES = len(_ENDS[0])


def of_event(event: "bytes | memoryview") -> "bytes | memoryview":
    """A large HTTP event, as AWS's services write it, less its body and `isBase64Encoded` behind
    that: nothing there says anything about the invocation, and copying and decoding it takes longer
    than everything else. Any other event as it is.
    """
    if len(event) <= SMALL_BYTES or not bytes(event[-_LONGEST_END_BYTES:]).endswith(_ENDS):
        return event
    start = bytes(event[:_LOOKED_AT_BYTES])
    end = start.find(_BODY)
    context = start.find(_REQUEST_CONTEXT, 0, end) if end > 0 else -1
    is_http = context > 0 and _is_among_members(start[:context]) and _is_among_members(start[:end])
    return start[:end] + b"}" if is_http else event


def _is_among_members(start: bytes) -> bool:
    """What begins like this goes on with a member of its outermost object."""
    pieces = mask_escapes(start).split(b'"')
    marks = b"".join(pieces[::2])
    is_outside_strings = len(pieces) % 2 == 1
    return (
        is_outside_strings
        and marks.count(b"{") - marks.count(b"}") == 1
        and marks.count(b"[") == marks.count(b"]")
    )


class Capture:
    """The first 64 KB of a body, the last 4 KB of what follows them, and the length of the whole.

    `status` is the Runtime API's, 0 until it has come and gone on, which was at `ended_ns`
    (monotonic); `overhead_ns` is what the proxy added.
    """

    __slots__ = ("ended_ns", "first", "last", "length", "overhead_ns", "status")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was captured."""
        self.first: bytes | bytearray = b""
        self.last = b""
        self.length = self.status = self.overhead_ns = self.ended_ns = 0

    def add(self, data: bytes) -> None:
        """Take the next part of the body."""
        self.length += len(data)
        room = CAPTURE_FIRST_BYTES - len(self.first)
        if room > 0:
            if not isinstance(self.first, bytearray):
                self.first = bytearray(self.first)
            self.first += data[:room]
            data = data[room:]
        if data:
            self.last = (self.last + data[-CAPTURE_LAST_BYTES:])[-CAPTURE_LAST_BYTES:]
