"""The collector's end of one signal: its URL, its header fields, its TLS, and what its answers mean."""

from __future__ import annotations

import zlib
from base64 import b64encode
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.export.http1 import BrokenError, Connection, NotSentError, Target

if TYPE_CHECKING:
    from ssl import SSLContext

    from lrap_otel.export_settings import SignalSettings
    from lrap_otel.telemetry.export.deadline import Deadline

_GZIP_WINDOW = 31
# Source: OTLP specification, "Failures", "Retryable response codes".
_RETRYABLE = frozenset({429, 502, 503, 504})


class Outcome(Enum):
    """What became of one export."""

    ACCEPTED = "the collector has it"
    REFUSED = "the collector does not have it and may take it later"
    UNKNOWN = "the collector may have it"
    REJECTED = "the collector will never take it"


class Answer(NamedTuple):
    """`reason` is one word (a status, ``timeout``, ``connection_refused``, ...), empty when accepted; `body` is OTLP's."""

    outcome: Outcome
    reason: str = ""
    body: bytes = b""


class Endpoint:
    """Where one signal goes, over a connection of its own: two signals may be under way at once."""

    def __init__(self, settings: SignalSettings) -> None:
        """ValueError or OSError where the settings cannot be used (a port that is none, a certificate file that is not
        there).
        """
        self._target = Target.from_url(settings.url)
        self._timeout_s = settings.timeout_ms / 1_000
        self._is_gzip = settings.compression == "gzip"
        self._fields = _fields(settings)
        is_tls = self._target.scheme == "https"
        tls = _tls(settings.certificate, settings.client_certificate, settings.client_key) if is_tls else None
        self._connection = Connection(self._target, tls)

    async def post(self, body: bytes, deadline: Deadline) -> Answer:
        """One attempt, over at `deadline` or after the signal's own time-out, whichever is sooner."""
        if self._is_gzip:
            body = _gzipped(body)
        try:
            reply = await self._connection.post(self._target.path, self._fields, body, deadline.within(self._timeout_s))
        except NotSentError as error:
            return Answer(Outcome.REFUSED, str(error))
        except BrokenError as error:
            return Answer(Outcome.UNKNOWN, str(error))
        if 200 <= reply.status < 300:
            return Answer(Outcome.ACCEPTED, body=reply.body)
        return Answer(Outcome.REFUSED if reply.status in _RETRYABLE else Outcome.REJECTED, str(reply.status))

    def close(self) -> None:
        """Close the connection; the next attempt opens a new one."""
        self._connection.close()


def _gzipped(body: bytes) -> bytes:
    gzip = zlib.compressobj(wbits=_GZIP_WINDOW)
    return gzip.compress(body) + gzip.flush()


def _fields(settings: SignalSettings) -> dict[str, str]:
    fields = {
        "Content-Type": "application/x-protobuf",
        "User-Agent": f"{semconv.SCOPE_NAME}/{semconv.SCOPE_VERSION}",
    }
    if settings.compression == "gzip":
        fields["Content-Encoding"] = "gzip"
    url = urlsplit(settings.url)
    if url.username is not None:
        # As the stock exporter's HTTP client does.
        pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
        fields["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    replaced = {name.lower() for name in settings.headers}
    return {name: value for name, value in fields.items() if name.lower() not in replaced} | settings.headers


@cache
def _tls(certificate: str, client_certificate: str, client_key: str) -> SSLContext:
    """One for both signals, since reading the machine's certificates takes 40 ms."""
    import ssl  # noqa: PLC0415 - 8 ms that a collector next door does not need

    context = ssl.create_default_context(cafile=certificate or None)
    if client_certificate:
        context.load_cert_chain(client_certificate, client_key or None)
    return context
