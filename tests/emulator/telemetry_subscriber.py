"""Who is told by the Telemetry API: a server that keeps what it is sent, and the extension that
subscribes it.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

PATIENCE_S = 10.0

# Subscribes with the body in SUBSCRIBE before it asks for its first event.
EXTENSION = """
me = client.register(os.path.basename(sys.argv[0]))["Lambda-Extension-Identifier"]
asked = client.call("PUT", "/2022-07-01/telemetry", {"Lambda-Extension-Identifier": me}, os.environ["SUBSCRIBE"].encode())
print("subscribed:", asked.status, flush=True)
while True:
    event = json.loads(client.next_event(me).body)
    if event["eventType"] == "SHUTDOWN":
        time.sleep(float(os.environ.get("LINGER_S", "0.3")))
        sys.exit(0)
    time.sleep(float(os.environ.get("BUSY_S", "0")))
"""


class Subscriber:
    """``batches`` are lists of events, as they came; ``answers`` are the statuses of the next
    batches, then 200.
    """

    def __init__(self) -> None:
        self.batches: list[list[dict[str, Any]]] = []
        self.answers: list[int] = []
        self.heads: list[dict[str, str]] = []
        subscriber = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = subscriber.answers.pop(0) if subscriber.answers else 200
                subscriber.heads.append(dict(self.headers))
                if status == 200:
                    subscriber.batches.append(json.loads(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:  # type: ignore[override]  # `format` is one of them
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for batch in self.batches for event in batch]

    def of(self, kind: str) -> list[Any]:
        """The records of one type."""
        return [event["record"] for event in self.events if event["type"] == kind]

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    def wait(self, holds: Callable[[], bool]) -> None:
        """Until it holds, looked at again and again."""
        end_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end_s, self.kinds()
            time.sleep(0.01)

    def wanted(self, *types: str, **changed: Any) -> str:
        """The body of a subscription."""
        asked = {
            "schemaVersion": "2025-01-29",
            "types": types or ("platform", "function", "extension"),
            "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
            "destination": {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{self.port}"},
        }
        return json.dumps(asked | changed)
