"""``lrap-otel invoke``: post an event to an emulator that is running, print the result."""

from __future__ import annotations

import http.client
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lrap_otel.emulator.invoke import DEFAULT_PORT, PATH

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``invoke`` understands."""
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        metavar="N",
        help=f"of the emulator's invoke endpoint ({DEFAULT_PORT})",
    )
    parser.add_argument("file", metavar="FILE", help="the event; - is standard input")


def run(args: argparse.Namespace) -> int:
    """Print what the function returned; 0 for a handler's error too, 1 when there is no answer."""
    try:
        event = sys.stdin.buffer.read() if args.file == "-" else Path(args.file).read_bytes()
        status, function_error, body = _post(args.port, event)
    except (OSError, http.client.HTTPException) as error:
        print(
            f"failed: {error}; is an emulator listening on port {args.port}? (lrap-otel emulate --port {args.port})",
            file=sys.stderr,
        )
        return 1
    print(body.decode("utf-8", "replace"))
    if function_error:
        print(f"function error: {function_error}", file=sys.stderr)
    return 0 if status == http.client.OK else 1


def _post(port: int, event: bytes) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("POST", PATH, event, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.getheader("X-Amz-Function-Error", ""), response.read()
    finally:
        connection.close()
