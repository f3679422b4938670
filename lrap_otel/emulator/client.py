"""``lrap-otel invoke``: send an event to an emulator that is running, print the result."""

from __future__ import annotations

import base64
import http.client
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lrap_otel.emulator.invoke import DEFAULT_PORT, PATH
from lrap_otel.emulator.sample_events import SAMPLES, change, sample

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
    parser.add_argument(
        "--trigger",
        choices=sorted(SAMPLES),
        metavar="NAME",
        help=f"an example event: {', '.join(sorted(SAMPLES))}",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="change the event, such as Records.0.body=hello; a value that is JSON is taken "
        "as JSON",
    )
    parser.add_argument(
        "--client-context", default="", metavar="JSON", help="as mobile clients send it"
    )
    parser.add_argument(
        "--async", action="store_true", dest="is_async", help="do not wait for the result"
    )
    parser.add_argument(
        "--log", action="store_true", help="print the end of the function's log as well, to stderr"
    )
    parser.add_argument(
        "--print", action="store_true", dest="is_printed", help="print the event and send nothing"
    )
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="the event; - is standard input; {} without"
    )


def run(args: argparse.Namespace) -> int:
    """Print what the function returned; 0 for a handler's error too, 1 when there is no answer, 2
    for an event that cannot be made.
    """
    try:
        event = _event(args)
    except (OSError, ValueError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 2
    if args.is_printed:
        print(event.decode("utf-8", "replace"))
        return 0
    try:
        status, headers, body = _post(args, event)
    except (OSError, http.client.HTTPException) as error:
        print(
            f"failed: {error}; is an emulator listening on port {args.port}? (lrap-otel emulate "
            f"--port {args.port})",
            file=sys.stderr,
        )
        return 1
    if args.log:
        print(
            base64.b64decode(headers.get("X-Amz-Log-Result", "")).decode("utf-8", "replace"),
            file=sys.stderr,
        )
    print(
        body.decode("utf-8", "replace")
        if status == http.client.OK or body
        else headers["X-Amzn-RequestId"]
    )
    if function_error := headers.get("X-Amz-Function-Error"):
        print(f"function error: {function_error}", file=sys.stderr)
    return 0 if status in {http.client.OK, http.client.ACCEPTED} else 1


def _event(args: argparse.Namespace) -> bytes:
    if args.file and args.trigger:
        raise ValueError("name a file or a --trigger, not both")
    if args.file == "-":
        raw = sys.stdin.buffer.read()
    elif args.file:
        raw = Path(args.file).read_bytes()
    else:
        raw = json.dumps(sample(args.trigger) if args.trigger else {}, indent=2).encode()
    if not args.set:
        return raw
    try:
        event = json.loads(raw)
    except ValueError as error:
        raise ValueError(
            f"{args.file} is not JSON, so that --set has nothing to change: {error}"
        ) from error
    for assignment in args.set:
        change(event, assignment)
    return json.dumps(event, indent=2).encode()


def _post(args: argparse.Namespace, event: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
    headers = {"Content-Type": "application/json"}
    if args.is_async:
        headers["X-Amz-Invocation-Type"] = "Event"
    if args.log:
        headers["X-Amz-Log-Type"] = "Tail"
    if args.client_context:
        headers["X-Amz-Client-Context"] = base64.b64encode(args.client_context.encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", args.port)
    try:
        connection.request("POST", PATH, event, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()
