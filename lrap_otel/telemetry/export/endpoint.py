"""The collector's end of one signal: its URL, its header fields, and what its answers mean."""

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.export.connection import BrokenError, Connection, NotSentError
from lrap_otel.telemetry.export.proxies import proxy_for
from lrap_otel.telemetry.export.retry import parse_retry_after
from lrap_otel.telemetry.url import Url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lrap_otel.telemetry.export.connection import Reply
    from lrap_otel.telemetry.export.deadline import Deadline
    from lrap_otel.telemetry.export.tls import Tls
    from lrap_otel.telemetry.settings import NetworkSettings, SignalSettings

    # By the files it is made from.
    TlsByFiles = dict[tuple[str, str, str], Tls]

_GZIP_WINDOW = 31
# Source: OTLP specification, "Failures", "Retryable response codes".
_RETRYABLE = frozenset({429, 502, 503, 504})
_TEXT_LIMIT_CHARACTERS = 200
# A shorter value may be part of any word.
_SECRET_CHARACTERS = 8

# The outcomes of one export.
ACCEPTED = "the collector has it"
REFUSED = "the collector does not have it and may take it later"
UNKNOWN = "the collector may have it"
TOO_LARGE = "the collector will take it in smaller parts, if at all"
REJECTED = "the collector will never take it"


class Answer:
    """What became of one export: one of the outcomes above.

    `error_type` is one word (a status, ``timeout``, ``connection_refused``, ...), empty when
    accepted; `text` says it to people; `retry_after_s` is what the collector asked for, or 0.0;
    `body` is OTLP's, when accepted.
    """

    __slots__ = ("body", "error_type", "outcome", "retry_after_s", "text")

    def __init__(
        self,
        outcome: str,
        error_type: str = "",
        text: str = "",
        retry_after_s: float = 0.0,
        body: bytes = b"",
    ) -> None:
        self.outcome = outcome
        self.error_type = error_type
        self.text = text
        self.retry_after_s = retry_after_s
        self.body = body


class Endpoint:
    """Receives one signal, on a connection of its own: two signals may be under way at once."""

    # See `Receiver`. Collectors take 20 MiB by default, AWS 5 MB.
    apart_s = 0.0
    max_batch_bytes = 4 * 1024 * 1024

    def __init__(
        self, settings: "SignalSettings", network: "NetworkSettings", tls: "TlsByFiles"
    ) -> None:
        """`tls` is shared by all endpoints.

        Raises ValueError or OSError, with a text for people, if the settings cannot be used (a port
        that is none, a certificate file that is not there).
        """
        self.url = Url(settings.url)
        self._timeout_s = settings.timeout_ms / 1_000
        self._is_gzip = settings.compression == "gzip"
        self._fields = _fields(settings, self.url)
        # An export of nothing, by which it can be asked whether it is there.
        self.empty_request = b"{}" if settings.is_json else b""
        self._secrets = _secrets(self.url, settings.headers)
        is_tls = self.url.scheme == "https"
        proxy = proxy_for(self.url, network)
        self._connection = Connection(
            self.url, proxy, _tls(settings, network, tls) if is_tls else None
        )

    def post(self, body: bytes, deadline: "Deadline", *, may_repeat: bool = True) -> Answer:
        """One attempt, over at `deadline` or after the signal's time-out, whichever is sooner.

        `may_repeat`: the collector recognises what it gets twice.
        """
        if self._is_gzip:
            body = _gzipped(body)
        deadline = deadline.within(self._timeout_s)
        try:
            reply = self._connection.post(
                self._fields_for(body, deadline), body, deadline, may_repeat=may_repeat
            )
        except NotSentError as error:
            return Answer(REFUSED, error.error_type, str(error))
        except BrokenError as error:
            return Answer(UNKNOWN, error.error_type, str(error))
        return self._meaning(reply)

    def close(self) -> None:
        """Close the connection; the next attempt opens a new one."""
        self._connection.close()

    def forget(self) -> None:
        """Close the connection, which belongs to another sandbox, as does its TLS session."""
        self._connection.forget()

    def _fields_for(self, body: bytes, deadline: "Deadline") -> dict[str, str]:  # noqa: ARG002 - a signature needs both
        """The header fields of one attempt to send `body`.

        Raises NotSentError if they cannot be had before `deadline`.
        """
        return self._fields

    def _meaning(self, reply: "Reply") -> Answer:
        status = reply.status
        if 200 <= status < 300:
            return Answer(ACCEPTED, body=reply.body)
        text = f"it answered {status}"
        if 300 <= status < 400 and (location := reply.fields.get("location")):
            text += f" with the location {_without_query(location)}"
        elif first_line := _first_line(reply.body, self._secrets):
            text += f": {first_line}"
        text = shown(text, self._secrets)
        if status in _RETRYABLE:
            asked_s = parse_retry_after(reply.fields.get("retry-after"))
            return Answer(REFUSED, str(status), text, asked_s)
        return Answer(TOO_LARGE if status == 413 else REJECTED, str(status), text)


def _first_line(body: bytes, secrets: list[str]) -> str:
    """The first line of a text that says anything, without the secrets: one that is cut would not
    be found.

    OTLP's own errors are protobuf with a text in it, of which the text remains.
    """
    text = body.decode("utf-8", "replace")
    for secret in secrets:
        text = text.replace(secret, "...")
    for line in text[: 4 * _TEXT_LIMIT_CHARACTERS].split("\n"):
        if text := "".join(filter(str.isprintable, line)).strip():
            return text
    return ""


def _without_query(url: str) -> str:
    """`url`, which may be relative, without the parts that may hold a secret."""
    scheme, separator, rest = url.partition("?")[0].partition("#")[0].rpartition("//")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def shown(text: str, secrets: list[str]) -> str:
    """A stranger's text for a log: one short line, without the secrets that it may repeat."""
    for secret in secrets:
        text = text.replace(secret, "...")
    return "".join(filter(str.isprintable, text))[:_TEXT_LIMIT_CHARACTERS]


def _secrets(url: Url, given: dict[str, str]) -> list[str]:
    """Every word of the settings that a collector could repeat and that may be secret."""
    query = url.path.partition("?")[2].replace("&", " ").replace("=", " ")
    return secrets_of((*given.values(), url.authorization, query))


def secrets_of(texts: "Iterable[str]") -> list[str]:
    """The words in `texts` that are long enough not to be part of other words."""
    return [word for word in " ".join(texts).split() if len(word) >= _SECRET_CHARACTERS]


def _gzipped(body: bytes) -> bytes:
    import zlib  # noqa: PLC0415 - most collectors are near enough to need none

    gzip = zlib.compressobj(wbits=_GZIP_WINDOW)
    return gzip.compress(body) + gzip.flush()


def _fields(settings: "SignalSettings", url: Url) -> dict[str, str]:
    fields = {
        "Content-Type": "application/json" if settings.is_json else "application/x-protobuf",
        "User-Agent": f"{semconv.SCOPE_NAME}/{semconv.SCOPE_VERSION}",
    }
    if settings.compression == "gzip":
        fields["Content-Encoding"] = "gzip"
    if url.authorization:
        # As the stock exporter's HTTP client does.
        fields["Authorization"] = url.authorization
    given = settings.headers
    replaced = {name.lower() for name in given}
    return {name: value for name, value in fields.items() if name.lower() not in replaced} | given


def _tls(settings: "SignalSettings", network: "NetworkSettings", known: "TlsByFiles") -> "Tls":
    return shared_tls(
        (settings.certificate, settings.client_certificate, settings.client_key), network, known
    )


def shared_tls(
    files: tuple[str, str, str], network: "NetworkSettings", known: "TlsByFiles"
) -> "Tls":
    """TLS with these files (see `Tls`), which are empty for none; made once, and kept in `known`.

    Raises ValueError or OSError, with a text for people, if it cannot be made.
    """
    if files not in known:
        try:
            from lrap_otel.telemetry.export.tls import Tls  # noqa: PLC0415 - 7 ms that most do not need

            known[files] = Tls(network, *files)
        except (ImportError, AttributeError, TypeError) as error:
            raise ValueError(f"this Python's TLS cannot be used: {error}") from error
    return known[files]
