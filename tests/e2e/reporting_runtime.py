"""A runtime as Java's: where Lambda refuses a result, it reports that as an error of the same
invocation, and goes on.
"""

from __future__ import annotations

import json
import os
from http.client import HTTPConnection


def main() -> None:
    """Serve events for ever: a result is as many bytes as the event says."""
    api = HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        api.request("GET", "/2018-06-01/runtime/invocation/next")
        event = api.getresponse()
        invocation = (
            "/2018-06-01/runtime/invocation/" + event.headers["Lambda-Runtime-Aws-Request-Id"]
        )
        status = post(api, f"{invocation}/response", b"x" * json.load(event)["bytes"])
        if status != 202:
            told = {"errorMessage": f"Failed to post: {status}", "errorType": "ClientException"}
            post(api, f"{invocation}/error", json.dumps(told).encode())


def post(api: HTTPConnection, target: str, body: bytes) -> int:
    """What Lambda says to it."""
    api.request("POST", target, body)
    reply = api.getresponse()
    reply.read()
    return reply.status


if __name__ == "__main__":
    main()
