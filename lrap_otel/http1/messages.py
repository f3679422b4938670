"""HTTP/1.1 message heads and body framing, without I/O.

A head is validated strictly and kept as it came. What two readers could frame differently is refused: a length beside a
coding, two lengths, any coding but ``chunked``, a bare LF or CR, control bytes, white space around a field's name.

Heads repeat from one call to the next: a runtime's ``/next`` never changes, and most lines of Lambda's replies do not. So a
head without a body, and the first line of each name, are looked up instead of looked at when they come again. The tables
are bounded: what does not fit is looked at each time.

Source: RFC 9112.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeVar

    T = TypeVar("T")

HEAD_END = b"\r\n\r\n"
HEAD_LIMIT_BYTES = 1_048_576 + 4_096  # Lambda's server gives up at 1 MiB and Go's 4,096 bytes of slack
# Of a reply to ``/next``: whose event it brings, and until when.
INVOCATION_FIELDS = (
    b"lambda-runtime-aws-request-id",
    b"lambda-runtime-invocation-id",
    b"lambda-runtime-deadline-ms",
)
TRACE_ID = b"lambda-runtime-trace-id"

# Behind the data of the one before.
LAST_CHUNK = b"\r\n0\r\n\r\n"

CHUNKED = -1
UNTIL_CLOSE = -2


def _only(legal: bytes) -> bytes:
    """A table for `bytes.translate` that leaves a text of legal bytes alone and no other.

    With a table, translate looks at each byte once; with bytes to delete it builds a table first, three times the work.
    """
    return bytes(byte if byte in legal else not byte for byte in range(256))


_TOKEN = _only(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_TEXT = _only(bytes({9, *range(32, 256)} - {127}))
_TARGET = _only(bytes(set(range(33, 256)) - {127}))
_HEX_DIGITS = _only(b"0123456789abcdefABCDEF")
# Of a chunk, in hex: far above any body, far below what could overflow elsewhere, and zeros in front as Go takes them.
_SIZE_DIGITS = 15
_SIZE_DIGITS_WITH_ZEROS = 16
_LENGTH_DIGITS = 18
_CHUNK_LINE_LIMIT_BYTES = 4_096

# Every name that begins with `proxy-` is looked up as this one (`_learn`).
_PROXY = b"proxy-"
HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"te", b"upgrade", _PROXY))
_NO_OPTIONS: frozenset[bytes] = frozenset()

_SEEN_NAMES_LIMIT = 256
_SEEN_LINE_LIMIT_BYTES = 512
_seen_names: dict[bytes, bytes] = {}
_seen_lines: dict[bytes, tuple[bytes, bytes]] = {}

_SEEN_HEADS_LIMIT = 64
_SEEN_HEAD_LIMIT_BYTES = 2_048
_seen_requests: "dict[bytes, Request]" = {}  # by all that follows the request line
_seen_replies: "dict[bytes, Response]" = {}


class ProtocolError(Exception):
    """A peer sent what HTTP/1.1 does not allow. `status` is what a server answers to it."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class Head:
    """What requests and responses share.

    `raw` is the head as it came, its blank line included; `lines` are its field lines; `fields` maps lower-case names to
    values, the first one where a name repeats. `forwarded` is the head as the other side gets it: less the hop-by-hop
    fields, otherwise the same bytes. `body_length` counts bytes, or is `CHUNKED` or `UNTIL_CLOSE`. `closes`: the peer
    ends its connection after this message. `options`: the names of the fields that a Connection field took away.
    """

    __slots__ = ("body_length", "closes", "fields", "forwarded", "lines", "options", "pairs", "raw", "start_line")
    raw: bytes
    start_line: bytes
    lines: list[bytes]
    pairs: list[tuple[bytes, bytes]]
    fields: dict[bytes, bytes]
    forwarded: bytes
    body_length: int
    closes: bool
    options: frozenset[bytes]

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.options = _NO_OPTIONS
        self.lines = raw[:-4].split(b"\r\n")
        self.start_line = self.lines.pop(0)
        self.pairs = [_seen_lines.get(line) or _field(line) for line in self.lines]
        self.fields = dict(self.pairs)
        if len(self.fields) != len(self.pairs):
            self._settle_repeated_fields()

    def _settle_repeated_fields(self) -> None:
        names = [name for name, _ in self.pairs]
        for name in (b"content-length", b"transfer-encoding"):
            if names.count(name) > 1:
                raise ProtocolError(f"{name.decode()} stands twice")
        self.fields = dict(reversed(self.pairs))

    def _frame(self, default_length: int, version: bytes) -> None:
        length = self.fields.get(b"content-length")
        coding = self.fields.get(b"transfer-encoding")
        if coding is not None:
            if length is not None:
                raise ProtocolError("both Content-Length and Transfer-Encoding")
            if coding.lower() != b"chunked" or version != b"HTTP/1.1":
                raise ProtocolError(f"Transfer-Encoding {coding!r} in {version!r}", status=501)
            self.body_length = CHUNKED
        elif length is None:
            self.body_length = default_length
        elif length.isdigit() and len(length) <= _LENGTH_DIGITS:
            self.body_length = int(length)
        else:
            raise ProtocolError(f"Content-Length {length[:40]!r}")

    def _take_options(self) -> None:
        values = (value for name, value in self.pairs if name == b"connection")
        options = frozenset(option.strip().lower() for value in values for option in value.split(b","))
        self.closes = self.closes or b"close" in options
        self.options = options - _END_TO_END

    def without(self, names: frozenset[bytes]) -> bytes:
        """The start line and the field lines whose names are not among `names`, with no CRLF behind the last."""
        kept = [line for line, (name, _) in zip(self.lines, self.pairs, strict=True) if name not in names]
        return b"\r\n".join((self.start_line, *kept))


class Request(Head):
    """A request head from a runtime. `path` is the target's, without the query and, of an absolute one, the authority."""

    __slots__ = ("method", "path", "target")
    method: bytes
    path: bytes
    target: bytes

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        version = self._take_request_line()
        self._frame(0, version)
        self.closes = version == b"HTTP/1.0"
        self.forwarded = raw
        if not HOP_BY_HOP.isdisjoint(self.fields):
            self._take_options()
            self.forwarded = self.without(HOP_BY_HOP | self.options) + HEAD_END

    def _take_request_line(self) -> bytes:
        parts = self.start_line.split(b" ")
        if len(parts) != 3 or parts[2] not in {b"HTTP/1.1", b"HTTP/1.0"}:
            raise ProtocolError(f"request line {self.start_line[:80]!r}")
        self.method, target, version = parts
        if (
            not self.method
            or self.method.translate(_TOKEN) != self.method
            or not target
            or target.translate(_TARGET) != target
        ):
            raise ProtocolError(f"request line {self.start_line[:80]!r}")
        self.target = target
        self.path = target if target.startswith(b"/") and b"?" not in target else _path_of(target)
        return version

    def with_request_line(self, raw: bytes, start_line: bytes) -> "Request":
        """The request of the same fields and another request line, which `raw` is; of both, the version is HTTP/1.1."""
        other = Request.__new__(Request)
        other.raw = other.forwarded = raw
        other.start_line = start_line
        other.lines, other.pairs, other.fields, other.options = self.lines, self.pairs, self.fields, self.options
        other.body_length, other.closes = self.body_length, self.closes
        other._take_request_line()  # noqa: SLF001 - one of us
        return other


class Response(Head):
    """A response head from the Runtime API. `method` is the request's: a reply to HEAD has no body."""

    __slots__ = ("status",)
    status: int

    def __init__(self, raw: bytes, method: bytes) -> None:
        super().__init__(raw)
        version, _, rest = self.start_line.partition(b" ")
        status, _, reason = rest.partition(b" ")
        if (
            version not in {b"HTTP/1.1", b"HTTP/1.0"}
            or len(status) != 3
            or not status.isdigit()
            or status < b"100"
            or reason.translate(_TEXT) != reason
        ):
            raise ProtocolError(f"status line {self.start_line[:80]!r}")
        self.status = int(status)
        self._frame(UNTIL_CLOSE, version)
        if method == b"HEAD" or self.status in {204, 304} or self.status < 200:
            self.body_length = 0
        self.closes = version == b"HTTP/1.0" or self.body_length == UNTIL_CLOSE
        self.forwarded = raw
        if not HOP_BY_HOP.isdisjoint(self.fields):
            self._take_options()
            closing = b"\r\nConnection: close" if b"close" in self.options else b""
            self.forwarded = self.without(HOP_BY_HOP | self.options) + closing + HEAD_END

    def invocation(self) -> tuple[str, ...]:
        """Of an event, the values of `INVOCATION_FIELDS`, empty for those that did not come."""
        return tuple([self.fields.get(name, b"").decode("latin-1") for name in INVOCATION_FIELDS])


# What a Connection field may not take away: without these a message means something else.
_END_TO_END = frozenset((b"content-length", b"transfer-encoding", b"trailer", b"host", b"content-type"))


def parse_request(raw: bytes) -> Request:
    """Validate a request head; `ProtocolError` where it is refused. Fields that are the bytes of a head before are taken from it."""
    end = raw.find(b"\r\n")
    seen = _seen_requests.get(raw[end:])
    if seen is not None and raw.endswith(b" HTTP/1.1", 0, end):
        start_line = raw[:end]
        return seen if start_line == seen.start_line else seen.with_request_line(raw, start_line)
    request = Request(raw)
    if request.forwarded is raw and not request.closes:
        _remember(_seen_requests, raw[end:], request)
    return request


def parse_reply(raw: bytes, method: bytes) -> Response:
    """Validate a reply's head; `ProtocolError` where it is refused. A result is answered with the bytes of the answer before."""
    if method != b"POST":
        return Response(raw, method)
    reply = _seen_replies.get(raw)
    if reply is None:
        reply = Response(raw, method)
        _remember(_seen_replies, raw, reply)
    return reply


def _remember(table: "dict[bytes, T]", key: bytes, head: "T") -> None:
    if len(key) <= _SEEN_HEAD_LIMIT_BYTES:
        if len(table) >= _SEEN_HEADS_LIMIT:
            table.clear()
        table[key] = head


def _path_of(target: bytes) -> bytes:
    if not target.startswith(b"/"):
        target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
    return target.partition(b"?")[0]


def _field(line: bytes) -> tuple[bytes, bytes]:
    """The lower-case name and the value of one field line that is not remembered."""
    name, _, value = line.partition(b": ")
    lower = _seen_names.get(name)
    if lower and value and value.translate(_TEXT) == value and value.strip(b" \t") == value:
        return lower, value
    return _learn(line)


def _learn(line: bytes) -> tuple[bytes, bytes]:
    """As `_field`, and remember it: most names have one value, or values that never come again."""
    name, colon, value = line.partition(b":")
    if not colon or not name or name.translate(_TOKEN) != name or value.translate(_TEXT) != value:
        raise ProtocolError(f"field line {name[:80]!r}")
    lower = name.lower()
    if lower == b"content-length" and value.endswith((b" ", b"\t")):
        raise ProtocolError("white space after Content-Length")
    if lower.startswith(_PROXY):
        lower = _PROXY
    pair = lower, value.strip(b" \t")
    if len(line) <= _SEEN_LINE_LIMIT_BYTES and len(_seen_names) < _SEEN_NAMES_LIMIT and name not in _seen_names:
        _seen_names[name] = lower
        _seen_lines[line] = pair
    return pair


class LengthBody:
    """A body whose length stands in the head, or that ends with the connection."""

    __slots__ = ("_left", "is_complete")

    def __init__(self, length: int) -> None:
        self._left = length
        self.is_complete = length == 0

    @property
    def expected_bytes(self) -> int:
        """How much is known to come."""
        return max(self._left, 0)

    # In all of it there is nothing to look at.
    unframed_bytes = expected_bytes

    def pass_over(self, length: int) -> None:
        """So many of those have come."""
        self._left -= length
        self.is_complete = self._left == 0

    def take(self, data: bytes) -> int:
        """How many bytes of `data` belong to this body."""
        if self._left == UNTIL_CLOSE:
            return len(data)
        taken = min(len(data), self._left)
        self._left -= taken
        self.is_complete = self._left == 0
        return taken


class ChunkedBody:
    """A chunked body, followed over any split of its bytes without changing or holding them."""

    __slots__ = ("_in_trailers", "_left", "_line", "is_complete")

    def __init__(self) -> None:
        self._left = 0  # bytes of the chunk still to come, its CRLF included; 0: a line comes next
        self._line = b""  # of the line that has begun
        self._in_trailers = False
        self.is_complete = False

    @property
    def expected_bytes(self) -> int:
        """How much is known to come: the rest of a chunk, and what at least stands behind it."""
        return self._left + len(b"0\r\n\r\n") if self._left else 0

    @property
    def unframed_bytes(self) -> int:
        """How much will come in which there is nothing to look at: the rest of a chunk."""
        return max(self._left - len(b"\r\n"), 0)

    def pass_over(self, length: int) -> None:
        """So many of those have come."""
        self._left -= length

    def take(self, data: bytes) -> int:
        """How many bytes of `data` belong to this body; `ProtocolError` if it is malformed."""
        position = 0
        while position < len(data) and not self.is_complete:
            position = self._take_line(data, position) if self._left == 0 else self._take_chunk(data, position)
        return position

    def _take_chunk(self, data: bytes, position: int) -> int:
        taken = min(self._left, len(data) - position)
        ending = b"\r\n"[max(0, 2 - self._left) : 2 - self._left + taken] if self._left - taken < 2 else b""
        if data[position + taken - len(ending) : position + taken] != ending:
            raise ProtocolError("a chunk does not end with CRLF")
        self._left -= taken
        return position + taken

    def _take_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position)
        stop = len(data) if end < 0 else end + 1
        self._line += data[position:stop]
        limit = HEAD_LIMIT_BYTES if self._in_trailers else _CHUNK_LINE_LIMIT_BYTES
        if len(self._line) > limit:
            raise ProtocolError("a chunk's line is too long")
        if end >= 0:
            line, self._line = self._line, b""
            self._end_line(line)
        return stop

    def _end_line(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            raise ProtocolError("a bare LF in a chunked body")
        line = line[:-2]
        if not self._in_trailers:
            size = chunk_size(line)
            self._in_trailers = size == 0
            self._left = size + 2 if size else 0
        elif line:
            _learn(line)
        else:
            self.is_complete = True


def chunk_size(line: bytes) -> int:
    """The size on one chunk line, its extensions left aside."""
    digits, _, extensions = line.partition(b";")
    if (
        digits.translate(_HEX_DIGITS) != digits
        or not 0 < len(digits) <= _SIZE_DIGITS_WITH_ZEROS
        or len(digits.lstrip(b"0")) > _SIZE_DIGITS
        or extensions.translate(_TEXT) != extensions
    ):
        raise ProtocolError(f"chunk line {line[:40]!r}")
    return int(digits, 16)


def body_of(head: Head) -> "LengthBody | ChunkedBody":
    """What follows this head's body to its end."""
    return ChunkedBody() if head.body_length == CHUNKED else LengthBody(head.body_length)


def dechunk(pieces: "Sequence[bytes | memoryview]") -> "bytes | memoryview":
    """The payload of a whole, valid chunked body, which came in these pieces."""
    first, last = pieces[0], pieces[-1]
    start = bytes(first[:_CHUNK_LINE_LIMIT_BYTES]).find(b"\r\n") + 2
    # One chunk, as Lambda sends what does not come in one piece: copied once, or where it came in one view not at all.
    if len(pieces) > 1 and start > 2 and bytes(last).endswith(LAST_CHUNK):
        length = sum(map(len, pieces)) - start - len(LAST_CHUNK)
        if chunk_size(bytes(first[: start - 2])) == length:
            if len(pieces) == 2 and len(last) == len(LAST_CHUNK):
                return first[start:]
            return b"".join((memoryview(first)[start:], *pieces[1:-1], memoryview(last)[: -len(LAST_CHUNK)]))
    return _dechunk(b"".join(pieces))


def _dechunk(body: bytes) -> bytes:
    payload = []
    position = 0
    while size := chunk_size(body[position : (line_end := body.index(b"\r\n", position))]):
        payload.append(body[line_end + 2 : line_end + 2 + size])
        position = line_end + 4 + size
    return b"".join(payload)
