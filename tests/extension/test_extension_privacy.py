"""Nothing secret reaches the log at its most talkative, or a collector, whatever goes wrong on the
way.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.extension.extension_process import Extension, reply
from tests.proxy.wire import ACCEPTED, NEXT, event, post, post_head, result_target
from tests.telemetry.otlp_collector import Collector

if TYPE_CHECKING:
    from tests.upstream import Peer, Upstream

MARK = "MARKX"
SECRETS = {
    **dict.fromkeys(
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "DATABASE_PASSWORD"),
        MARK,
    ),
    # one that is sent as it is, and four that cannot be
    "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={MARK},{MARK},x={MARK}%0A,host={MARK},={MARK}",
    "LRAP_LOG_LEVEL": "debug",
    "LRAP_PASSWORD": MARK,
    "OTEL_CONFIG_FILE": MARK,
}
FIELDS = (
    f"Cookie: a={MARK}\r\nLambda-Runtime-Cognito-Identity: {MARK}\r\nX-Secret: {MARK}\r\n".encode()
)
REQUEST = {
    "version": "2.0",
    "rawPath": f"/a;jsessionid={MARK}",
    "rawQueryString": f"page=2&token={MARK}&next=%2F%3Fcode%3D{MARK}",
    "cookies": [MARK],
    "headers": {
        "authorization": f"Bearer {MARK}",
        "cookie": MARK,
        "x-api-key": MARK,
        "host": "api",
    },
    "requestContext": {
        "authorizer": {"jwt": {"claims": {"sub": MARK}}},
        "http": {"method": "GET", "path": "/a"},
    },
    "body": MARK,
}
ERROR = {
    "errorType": "E",
    "errorMessage": f"GET https://me:{MARK}@api/?token={MARK} failed",
    "stackTrace": [],
}


class Lambda:
    """The Runtime API: answers each poll with the next event, or not at all, and takes every
    result.
    """

    def __init__(self, listening: Upstream, *ids: bytes) -> None:
        self._events = [event(each, json.dumps(REQUEST).encode(), fields=FIELDS) for each in ids]
        self._listening = listening
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(
                    target=self._serve, args=(self._listening.accept(),), daemon=True
                ).start()

    def _serve(self, peer: Peer) -> None:
        with suppress(OSError, EOFError):
            while True:
                head, _ = peer.read_message()
                if head.startswith(b"POST"):
                    peer.send(ACCEPTED)
                elif self._events:
                    peer.send(self._events.pop(0))


def send_everything(extension: Extension) -> str:
    """One invocation that succeeds, one that fails, one refused and one broken off, and SHUTDOWN;
    what is printed.
    """
    api = extension.register()
    Lambda(extension.api, b"one", b"two", b"three", b"four")
    results = (
        post(result_target(b"one"), json.dumps({"statusCode": 200, "body": MARK}).encode(), FIELDS),
        post(result_target(b"two", b"error"), json.dumps(ERROR).encode(), FIELDS),
        post_head(result_target(b"three"), FIELDS + f"Content-Length: {MARK}\r\n".encode())
        + MARK.encode(),
        post_head(result_target(b"four"), FIELDS + b"Transfer-Encoding: chunked\r\n")
        + f"{MARK}\r\n".encode(),
    )
    runtime = extension.connect()
    for result in results:
        runtime.send(NEXT).read_message()
        head, _ = runtime.send(result).read_message()
        assert head.startswith((b"HTTP/1.1 202", b"HTTP/1.1 400"))
        if head.startswith(b"HTTP/1.1 400"):
            runtime.close()
            runtime = extension.connect()
    runtime.close()
    malformed = extension.connect().send(
        f"GET /?token={MARK} HTTP/9\r\nX: {MARK}\x00\r\n\r\n".encode()
    )
    malformed.read_to_any_end()
    malformed.close()
    deadline_ms = int(time.time() * 1_000) + 30_000
    api.send(
        reply({"eventType": "SHUTDOWN", "shutdownReason": "timeout", "deadlineMs": deadline_ms})
    )
    status, errors = extension.end()
    assert status == 0
    return errors.decode()


def test_no_secret_reaches_the_collector_or_the_log() -> None:
    with Collector() as collector:
        extension = Extension(
            **SECRETS, OTEL_EXPORTER_OTLP_ENDPOINT=f"{collector.url}/?token={MARK}"
        )
        try:
            printed = send_everything(extension)
        finally:
            extension.close()
        posts = collector.received()

    sent = b"".join(post.content for post in posts)
    assert b"page=2&token=REDACTED" in sent
    assert b"REDACTED:REDACTED@api/?token=REDACTED failed" in sent
    assert MARK.encode() not in sent
    # It was there to be told: the log is as talkative as it gets, and warns of what cannot be used.
    assert "traces go to http://127.0.0.1" in printed
    assert "OTEL_EXPORTER_OTLP_HEADERS: entry 2" in printed
    assert "LRAP_PASSWORD is no setting" in printed
    assert MARK not in printed


def test_no_secret_is_told_of_an_export_that_fails() -> None:
    extension = Extension(
        **SECRETS, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://me:{MARK}@127.0.0.1:9/{MARK}?token={MARK}"
    )
    try:
        printed = send_everything(extension)
    finally:
        extension.close()

    assert "could not be exported" in printed or "refused" in printed
    # The path is no secret: it is how a collector is known.
    assert MARK not in printed.replace(f"/{MARK}/v1/", "")
