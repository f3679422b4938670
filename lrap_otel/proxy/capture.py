"""What the telemetry process gets to see of a result: its beginning and its end, as on the wire."""

from lrap_otel.records import CAPTURE_FIRST_BYTES, CAPTURE_LAST_BYTES


class Capture:
    """The first 64 KB of a body, the last 4 KB of what follows them, and the length of the whole.

    `status` is the Runtime API's, 0 until it has come and gone on; `overhead_ns` is what the proxy added.
    """

    __slots__ = ("first", "last", "length", "overhead_ns", "status")

    def __init__(self) -> None:
        self.first = b""
        self.last = b""
        self.length = 0
        self.status = 0
        self.overhead_ns = 0

    def add(self, data: bytes) -> None:
        self.length += len(data)
        room = CAPTURE_FIRST_BYTES - len(self.first)
        if room > 0:
            self.first += data[:room]
            data = data[room:]
        if data:
            self.last = (self.last + data[-CAPTURE_LAST_BYTES:])[-CAPTURE_LAST_BYTES:]
