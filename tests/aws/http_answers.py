"""A small HTTP server that answers every POST with a status, and keeps what it was asked."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class HttpAnswers:
    """A collector, or a proxy for every host. `statuses` are by target, as the request line has it.

    `asked` holds target, fields and body of each request.
    """

    def __init__(self, statuses: Mapping[str, int] | None = None, otherwise: int = 200) -> None:
        asked = self.asked = []  # type: list[tuple[str, dict[str, str], bytes]]
        known = statuses or {}

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                asked.append((self.path, dict(self.headers), body))
                self.send_response(known.get(self.path, otherwise))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
