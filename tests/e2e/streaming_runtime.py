"""A runtime of its own: it streams each result in two halves, or breaks off between them as the
event's ``do`` says.
"""

from __future__ import annotations

import json
import os
import socket
from http.client import HTTPConnection

TRAILERS = ("Lambda-Runtime-Function-Error-Type", "Lambda-Runtime-Function-Error-Body")


def main() -> None:
    """Serve events for ever."""
    api = HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        api.request("GET", "/2018-06-01/runtime/invocation/next")
        reply = api.getresponse()
        stream(api, reply.headers["Lambda-Runtime-Aws-Request-Id"], json.load(reply))


def stream(api: HTTPConnection, request_id: str, event: dict[str, str]) -> None:
    """Both halves, or an error instead of the second: told in trailers, or by an end of the
    connection.
    """
    api.putrequest("POST", f"/2018-06-01/runtime/invocation/{request_id}/response")
    api.putheader("Content-Type", "application/octet-stream")
    api.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
    api.putheader("Transfer-Encoding", "chunked")
    api.putheader("Trailer", ", ".join(TRAILERS))
    api.endheaders()
    api.send(b"b\r\nfirst half,\r\n")
    if event["do"] == "break off":
        api.sock.shutdown(socket.SHUT_RDWR)
        os._exit(3)
    if event["do"] == "fail":
        api.send(
            b"0\r\n%s: Function.Broken\r\n%s: e30=\r\n\r\n"
            % tuple(name.encode() for name in TRAILERS)
        )
    else:
        api.send(b"b\r\nsecond half\r\n0\r\n\r\n")
    api.getresponse().read()


if __name__ == "__main__":
    main()
