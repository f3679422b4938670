"""HTTP/1.1 message heads, without I/O.

A head is validated strictly and kept as it came. Whatever two readers could frame differently is
refused: a length beside a coding, two lengths, any coding but ``chunked``, a bare LF or CR, control
bytes, white space around a field's name.

Source: RFC 9112.
"""

from lrap_otel.http1.errors import CLIENT, SERVER, RemoteProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Framed(Protocol):
        """A head, as far as its body is concerned: see `Head`."""

        @property
        def body_length(self) -> int: ...
        @property
        def sender(self) -> str: ...


HEAD_END = b"\r\n\r\n"
HEAD_LIMIT_BYTES = (
    1_048_576 + 4_096
)  # Lambda's server gives up at 1 MiB and Go's 4,096 bytes of slack

# Values of `Head.body_length` that count nothing.
CHUNKED = -1
UNTIL_CLOSE = -2


def only(legal: bytes) -> bytes:
    """A table for `bytes.translate` that leaves a text of legal bytes alone and no other.

    With a table, translate looks at each byte once; with bytes to delete it builds a table first,
    three times the work.
    """
    return bytes(byte if byte in legal else not byte for byte in range(256))


_TOKEN = only(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
TEXT = only(bytes({9, *range(32, 256)} - {127}))
_TARGET = only(bytes(set(range(33, 256)) - {127}))
_LENGTH_DIGITS = 18

# Every name that begins with `proxy-` is looked up as this one.
_PROXY = b"proxy-"
HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"te", b"upgrade", _PROXY))
# A Connection field may not take these away: without them a message means something else.
_END_TO_END = frozenset(
    (b"content-length", b"transfer-encoding", b"trailer", b"host", b"content-type")
)
_NO_OPTIONS: frozenset[bytes] = frozenset()


class Head:
    """What requests and responses share.

    `raw` is the head as it came, its blank line included. `fields` maps lower-case names to values,
    the first one if a name repeats. `forwarded` is the head as the other side gets it: less the
    hop-by-hop fields, otherwise the same bytes. `body_length` counts bytes, or is `CHUNKED` or
    `UNTIL_CLOSE`. `closes`: the peer ends its connection after this message. `options`: the names
    of the fields that a Connection field took away.

    `start_line`, `lines` and `pairs` (name and value of each field line) are what was parsed. A
    head that `is_recognised`, by a template, has none of these, but says the same by its methods.
    """

    __slots__ = (
        "body_length",
        "closes",
        "fields",
        "forwarded",
        "lines",
        "options",
        "pairs",
        "raw",
        "start_line",
    )
    sender: str
    is_recognised = False
    options: frozenset[bytes]

    def __init__(self, raw: bytes) -> None:
        self.raw = self.forwarded = raw
        self.options = _NO_OPTIONS
        self.body_length = 0
        self.closes = False
        self.lines = raw[:-4].split(b"\r\n")
        self.start_line = self.lines.pop(0)
        self.pairs = [parse_field(line, self.sender) for line in self.lines]
        self.fields = dict(self.pairs)
        if len(self.fields) != len(self.pairs):
            self._settle_repeated_fields()

    def _settle_repeated_fields(self) -> None:
        names = [name for name, _ in self.pairs]
        for name in (b"content-length", b"transfer-encoding"):
            if names.count(name) > 1:
                raise RemoteProtocolError(self.sender, f"{name.decode()} stands twice")
        self.fields = dict(reversed(self.pairs))

    def _frame(self, default_length: int, version: bytes) -> None:
        length = self.fields.get(b"content-length")
        coding = self.fields.get(b"transfer-encoding")
        if coding is not None:
            if length is not None:
                raise RemoteProtocolError(self.sender, "both Content-Length and Transfer-Encoding")
            if coding.lower() != b"chunked" or version != b"HTTP/1.1":
                raise RemoteProtocolError(
                    self.sender, f"Transfer-Encoding {coding!r} in {version!r}", status=501
                )
            self.body_length = CHUNKED
        elif length is None:
            self.body_length = default_length
        elif length.isdigit() and len(length) <= _LENGTH_DIGITS:
            self.body_length = int(length)
        else:
            raise RemoteProtocolError(self.sender, f"Content-Length {length[:40]!r}")

    def _take_options(self) -> None:
        options = frozenset(
            option.strip().lower()
            for value in self.values_of(b"connection")
            for option in value.split(b",")
        )
        self.closes = self.closes or b"close" in options
        self.options = options - _END_TO_END

    def values_of(self, name: bytes) -> list[bytes]:
        """All values of a field, in their order."""
        return [value for other, value in self.pairs if other == name]

    def without(self, names: frozenset[bytes]) -> bytes:
        """The start line and the field lines whose names are not among `names`, without a final
        CRLF.
        """
        kept = [
            line
            for line, (name, _) in zip(self.lines, self.pairs, strict=True)
            if name not in names
        ]
        return b"\r\n".join((self.start_line, *kept))


class Request(Head):
    """A request's head. `path` is the target's: no query and, of an absolute one, no authority."""

    __slots__ = ("method", "path", "target")
    sender = CLIENT

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        parts = self.start_line.split(b" ")
        if len(parts) != 3 or parts[2] not in {b"HTTP/1.1", b"HTTP/1.0"}:
            raise self._bad_request_line()
        self.method, self.target, version = parts
        if not self.method or self.method.translate(_TOKEN) != self.method:
            raise self._bad_request_line()
        if not self.target or self.target.translate(_TARGET) != self.target:
            raise self._bad_request_line()
        self.path = _path_of(self.target)
        self._frame(0, version)
        self.closes = version == b"HTTP/1.0"
        if not HOP_BY_HOP.isdisjoint(self.fields):
            self._take_options()
            self.forwarded = self.without(HOP_BY_HOP | self.options) + HEAD_END

    def _bad_request_line(self) -> RemoteProtocolError:
        return RemoteProtocolError(CLIENT, f"request line {self.start_line[:80]!r}")


class Response(Head):
    """A response's head. `method` is the request's: a response to HEAD has no body."""

    __slots__ = ("status",)
    sender = SERVER

    def __init__(self, raw: bytes, method: bytes) -> None:
        super().__init__(raw)
        version, _, rest = self.start_line.partition(b" ")
        status, _, reason = rest.partition(b" ")
        if (
            version not in {b"HTTP/1.1", b"HTTP/1.0"}
            or len(status) != 3
            or not status.isdigit()
            or status < b"100"
            or reason.translate(TEXT) != reason
        ):
            raise RemoteProtocolError(SERVER, f"status line {self.start_line[:80]!r}")
        self.status = int(status)
        self._frame(UNTIL_CLOSE, version)
        if method == b"HEAD" or self.status in {204, 304} or self.status < 200:
            self.body_length = 0
        self.closes = version == b"HTTP/1.0" or self.body_length == UNTIL_CLOSE
        if not HOP_BY_HOP.isdisjoint(self.fields):
            self._take_options()
            closing = b"\r\nConnection: close" if b"close" in self.options else b""
            self.forwarded = self.without(HOP_BY_HOP | self.options) + closing + HEAD_END


def _path_of(target: bytes) -> bytes:
    if not target.startswith(b"/"):
        target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
    return target.partition(b"?")[0]


def parse_field(line: bytes, sender: str) -> tuple[bytes, bytes]:
    """The lower-case name and the value of one field line; `RemoteProtocolError` if it is
    malformed.
    """
    name, colon, value = line.partition(b":")
    if not colon or not name or name.translate(_TOKEN) != name or value.translate(TEXT) != value:
        raise RemoteProtocolError(sender, f"field line {name[:80]!r}")
    lower = name.lower()
    if lower == b"content-length" and value.endswith((b" ", b"\t")):
        raise RemoteProtocolError(sender, "white space after Content-Length")
    return _PROXY if lower.startswith(_PROXY) else lower, value.strip(b" \t")
