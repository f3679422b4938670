"""A web application that knows nothing of Lambda: ``application.py PORT`` answers with what it was
asked.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Application(BaseHTTPRequestHandler):
    """Tells the request, and of its headers those that a caller sends."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Also what the adapter asks to see whether anybody is there."""
        self._tell()

    def do_POST(self) -> None:
        """With the length of what was posted."""
        self._tell()

    def _tell(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        told = {
            "method": self.command,
            "target": self.path,
            "body": body.decode(),
            "accept": self.headers["Accept"],
            "traceparent": self.headers["traceparent"],
        }
        answer = json.dumps(told).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Application).serve_forever()
