"""As much of HTTP/1.1 as it takes to POST to a collector, one deadline over the whole exchange.

Also through a proxy. `http.client` costs 22 ms to import, and its time-outs are for each read
alone, so that a collector that sends a byte now and then would hold a flush for ever.
"""

from time import monotonic

from lrap_otel.telemetry.export.lookup import Lookup, resolve
from lrap_otel.telemetry.export.wire import Wire
from lrap_otel.telemetry.heads import Head
from lrap_otel.telemetry.message_reader import BODY_LIMIT_BYTES, HEAD_LIMIT_BYTES, MessageReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _ssl

    from lrap_otel.telemetry.export.deadline import Deadline
    from lrap_otel.telemetry.export.lookup import Address, Resolve
    from lrap_otel.telemetry.export.tls import Tls
    from lrap_otel.telemetry.url import Url

# A kept connection that lives so long may have taken the request, and be closed for another reason.
_DEAD_WITHIN_S = 5.0
# Of one answer, its heads and framing included.
_REPLY_LIMIT_BYTES = BODY_LIMIT_BYTES + HEAD_LIMIT_BYTES
# The error type of what ran out of time.
TIMEOUT = "timeout"


class ExportError(Exception):
    """No answer came. `error_type` is one word, for metrics; the text is for people."""

    def __init__(self, error_type: str, text: str) -> None:
        super().__init__(text)
        self.error_type = error_type


class NotSentError(ExportError):
    """The server cannot have acted on the request: nothing of it was sent."""


class BrokenError(ExportError):
    """The request may have arrived."""


class _StaleError(Exception):
    """The connection ended before it answered a byte. `has_request`: all of the request has come
    to the server.
    """

    has_request = True


class Reply:
    """`fields` are the header's."""

    __slots__ = ("body", "fields", "status")

    def __init__(self, status: int, fields: Head, body: bytes) -> None:
        self.status = status
        self.fields = fields
        self.body = body


class Connection:
    """A connection to one server, opened when it is first needed and kept.

    One request at a time. TLS sessions are resumed if the server offers it.
    """

    def __init__(
        self,
        url: "Url",
        proxy: "Url | None" = None,
        tls: "Tls | None" = None,
        *,
        resolver: "Resolve" = resolve,
        dead_within_s: float = _DEAD_WITHIN_S,
    ) -> None:
        """`tls` is given for https. `dead_within_s`: see `post`."""
        self._url = url
        self._proxy = proxy
        self._tls = tls
        self._dead_within_s = dead_within_s
        first = proxy or url
        self._lookup = Lookup(first.host, first.port, resolver)
        self._wire: Wire | None = None
        self._session: _ssl.SSLSession | None = None
        self._answered: Address | None = None

    def post(
        self, fields: dict[str, str], body: bytes, deadline: "Deadline", *, may_repeat: bool = True
    ) -> Reply:
        """Send one POST and read the answer before `deadline`.

        A kept connection that turns out dead within `dead_within_s`, before it has answered a byte,
        is replaced once. What may not be repeated goes again only if the server's system has not
        acknowledged all of it: it may have been taken, and the connection closed for another
        reason.

        Raises NotSentError or BrokenError; the connection is closed then, unless nothing was sent.
        """
        return self._asked(self._request("POST", fields, body), deadline, may_repeat=may_repeat)

    def get(self, fields: dict[str, str], deadline: "Deadline") -> Reply:
        """Send one GET and read the answer before `deadline`. As `post`."""
        return self._asked(self._request("GET", fields), deadline, may_repeat=True)

    def close(self) -> None:
        """Close it; the next request opens a new one."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def forget(self) -> None:
        """Close it, and resume no session either: they belong to another sandbox."""
        self.close()
        self._session = None

    def _asked(self, request: bytes, deadline: "Deadline", *, may_repeat: bool) -> Reply:
        begun_s = monotonic()
        kept = self._take_kept()
        if kept is None:
            return self._exchange_anew(request, deadline)
        try:
            return self._exchange(kept, request, deadline)
        except _StaleError as error:
            may_go_again = may_repeat or not error.has_request
            if monotonic() - begun_s > self._dead_within_s or not may_go_again:
                raise _closed() from error
        try:
            return self._exchange_anew(request, deadline)
        except NotSentError as error:
            # The first time it may have arrived.
            raise BrokenError(error.error_type, str(error)) from error

    def _take_kept(self) -> Wire | None:
        kept, self._wire = self._wire, None
        if kept is not None and kept.has_ended():
            kept.close()
            return None
        return kept

    def _request(self, method: str, fields: dict[str, str], body: "bytes | None" = None) -> bytes:
        target = self._url.path
        lines = [f"Host: {self._url.address}"]
        if self._proxy is not None and self._tls is None:
            target = f"http://{self._url.address}{target}"
            lines += _proxy_fields(self._proxy)
        lines += [f"{name}: {value}" for name, value in fields.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return _head(f"{method} {target}", *lines) + (body or b"")

    def _exchange_anew(self, request: bytes, deadline: "Deadline") -> Reply:
        try:
            return self._exchange(self._opened(deadline), request, deadline)
        except _StaleError as error:
            raise _closed() from error

    def _exchange(self, wire: Wire, request: bytes, deadline: "Deadline") -> Reply:
        if deadline.has_come():
            self._wire = wire
            raise NotSentError(TIMEOUT, "no time was left to send it")
        is_reusable = False
        try:
            _send(wire, request, deadline)
            reply, is_reusable = _ReplyReader(wire, deadline).reply()
            self._session = wire.session or self._session
        except TimeoutError as error:
            raise BrokenError(TIMEOUT, "no answer in time") from error
        except _StaleError as error:
            error.has_request = wire.is_acknowledged()
            raise
        finally:
            if is_reusable:
                self._wire = wire
            else:
                wire.close()
        return reply

    def _opened(self, deadline: "Deadline") -> Wire:
        wire = self._connected(deadline)
        try:
            if self._proxy is not None and self._tls is not None:
                self._pass_proxy(wire, self._proxy, deadline)
            if self._tls is not None:
                self._secure(wire, self._tls, deadline)
        except BaseException:
            wire.close()
            raise
        return wire

    def _connected(self, deadline: "Deadline") -> Wire:
        """A connection to the first address that answers, each with its share of the time."""
        name = (self._proxy or self._url).host
        try:
            addresses = self._lookup.addresses(deadline)
        except TimeoutError as error:
            raise NotSentError(TIMEOUT, f"the name {name} was not resolved in time") from error
        except (OSError, RuntimeError) as error:
            text = f"the name {name} was not resolved: {_words(error)}"
            raise NotSentError("name_not_resolved", text) from error
        if self._answered in addresses:
            addresses.sort(key=lambda address: address != self._answered)
        failure: OSError = TimeoutError()
        for number, address in enumerate(addresses):
            try:
                wire = Wire(address, deadline.part(len(addresses) - number))
            except OSError as error:  # noqa: PERF203 - an address is tried for longer than that takes
                failure = error
            else:
                self._answered = address
                return wire
        raise self._not_connected(failure) from failure

    def _not_connected(self, error: OSError) -> NotSentError:
        to = f" to the proxy {self._proxy.address}" if self._proxy is not None else ""
        if isinstance(error, TimeoutError):
            return NotSentError(TIMEOUT, f"no connection{to} in time")
        if isinstance(error, ConnectionRefusedError):
            return NotSentError("connection_refused", f"connection{to} refused")
        return NotSentError(type(error).__name__, f"no connection{to}: {_words(error)}")

    def _pass_proxy(self, wire: Wire, proxy: "Url", deadline: "Deadline") -> None:
        """Let the proxy connect us to the server."""
        authority = self._url.authority
        try:
            wire.send(
                _head(f"CONNECT {authority}", f"Host: {authority}", *_proxy_fields(proxy)), deadline
            )
            status, _ = _ReplyReader(wire, deadline).head()
        except TimeoutError as error:
            text = f"no answer of the proxy {proxy.address} in time"
            raise NotSentError(TIMEOUT, text) from error
        except (OSError, _StaleError, BrokenError) as error:
            text = f"the proxy {proxy.address} gave no answer"
            raise NotSentError("proxy", text) from error
        if not 200 <= status < 300:
            text = f"the proxy {proxy.address} answered {status}"
            raise NotSentError(f"proxy_{status}", text)

    def _secure(self, wire: Wire, tls: "Tls", deadline: "Deadline") -> None:
        from lrap_otel.telemetry.export.tls import is_certificate_error, reason  # noqa: PLC0415 - loaded with `tls`

        session, self._session = self._session, None
        try:
            wire.secure(tls, self._url.host, session, deadline)
        except TimeoutError as error:
            raise NotSentError(TIMEOUT, "no TLS handshake in time") from error
        except (OSError, ValueError, TypeError, AttributeError) as error:
            why = reason(error) if isinstance(error, OSError) else str(error)
            if isinstance(error, OSError) and is_certificate_error(error):
                text = f"the server's certificate is not accepted: {why}"
                raise NotSentError("certificate", text) from error
            raise NotSentError("tls", f"the TLS handshake failed: {why}") from error


class _ReplyReader:
    """Reads one reply. Its methods raise TimeoutError at the deadline."""

    def __init__(self, wire: Wire, deadline: "Deadline") -> None:
        self._wire = wire
        self._deadline = deadline
        self._left_bytes = _REPLY_LIMIT_BYTES
        self._reader = MessageReader(self._receive)
        self._has_status = False

    def reply(self) -> tuple[Reply, bool]:
        """The reply, and whether another can follow it on this connection.

        Raises _StaleError if the connection ends first, and BrokenError if the head is no HTTP. A
        body that breaks off, or is late, is cut: the status has been given.
        """
        status, head = self.head()
        heads_bytes = len(head)
        while status < 200:
            status, head = self.head()
            heads_bytes += len(head)
            if heads_bytes > HEAD_LIMIT_BYTES:
                raise _no_http()
        fields = Head(head)
        self._has_status = True
        body, is_whole = (b"", True) if status in {204, 304} else self._reader.body(fields)
        closes = "close" in fields.get("connection").lower() or head.startswith(b"HTTP/1.0")
        return Reply(status, fields, body), is_whole and not closes and not self._reader.ahead

    def head(self) -> tuple[int, bytes]:
        """The next head, and its status."""
        if not self._reader.ahead:
            # A round trip away, however near the server is.
            self._wire.await_answer(self._deadline)
            if not self._reader.read_more():
                raise _StaleError
        head = self._reader.head()
        parts = head.partition(b"\r\n")[0].split(b" ", 2) if head is not None else []
        if (
            head is None
            or len(parts) < 2
            or not parts[0].startswith(b"HTTP/1.")
            or not parts[1].isdigit()
            or len(parts[1]) != 3
        ):
            raise _no_http()
        return int(parts[1]), head

    def _receive(self) -> bytes:
        if self._left_bytes <= 0:
            return b""
        try:
            data = self._wire.receive(self._deadline)
        except TimeoutError:
            if not self._has_status:
                raise
            return b""
        self._left_bytes -= len(data)
        return data


def _head(call: str, *lines: str) -> bytes:
    return "\r\n".join((f"{call} HTTP/1.1", *lines, "", "")).encode("utf-8", "replace")


def _proxy_fields(proxy: "Url") -> list[str]:
    return [f"Proxy-Authorization: {proxy.authorization}"] if proxy.authorization else []


def _send(wire: Wire, request: bytes, deadline: "Deadline") -> None:
    try:
        wire.send(request, deadline)
    except TimeoutError:
        raise
    except OSError:
        # The server may have refused before it read all (413, say) and closed: its answer may be
        # there to read.
        return


def _no_http() -> BrokenError:
    return BrokenError("broken_reply", "the answer is no HTTP")


def _closed() -> BrokenError:
    return BrokenError("connection_closed", "the connection was closed without an answer")


def _words(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
