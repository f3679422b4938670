"""The extension as Lambda starts it, a process, with a test in Lambda's place."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from pathlib import Path
from typing import IO

from tests.ports import free_port
from tests.processes import proxies_of
from tests.proxy.wire import ACCEPTED, event, post, result_target
from tests.upstream import Peer, Upstream, connect

ROOT = Path(__file__).parents[2]
REGISTERED = (
    b"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: me\r\nContent-Length: 48\r\n\r\n"
    b'{"functionName":"f","functionVersion":"$LATEST"}'
)


def invoke_once(runtime: Peer, runtime_api: Peer) -> None:
    """One event through the proxy and its result back; `runtime` has asked for it."""
    runtime_api.read_head()
    runtime_api.send(event(body=b"{}"))
    runtime.read_message()
    runtime.send(post(result_target(), b"true"))
    runtime_api.read_message()
    runtime_api.send(ACCEPTED)
    runtime.read(len(ACCEPTED))


class Extension:
    """A started extension. `api` is both of Lambda's APIs, `host` the name by which the extension
    is told where they are.

    `root` holds ``opt/entrypoint`` and the package.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, root: Path = ROOT, **variables: str
    ) -> None:
        self.api = Upstream()
        self.port = port or free_port()
        told = {
            "AWS_LAMBDA_RUNTIME_API": f"{host}:{self.api.port}",
            "LRAP_LISTENER_PORT": str(self.port),
        }
        # /tmp is everybody's; and where a test plays the Telemetry API as well, it says so.
        told |= {"LRAP_SPOOL_BYTES": "0", "LRAP_TELEMETRY_API": "off"}
        self.process = subprocess.Popen(
            [root / "opt/entrypoint"],
            env={"PATH": os.environ["PATH"], **told, **variables},
            stderr=subprocess.PIPE,
        )
        self.lambda_side: Peer | None = None

    @property
    def errors(self) -> IO[bytes]:
        """What it prints."""
        assert self.process.stderr is not None
        return self.process.stderr

    def read_registration(self) -> tuple[bytes, bytes]:
        """Head and body of its register request."""
        self.lambda_side = self.api.accept()
        return self.lambda_side.read_message()

    def register(self) -> Peer:
        """Lambda's side of the Extensions API, once the extension has asked for its first event."""
        self.read_registration()
        assert self.lambda_side is not None
        self.lambda_side.send(REGISTERED)
        assert self.lambda_side.read_head().startswith(
            b"GET /2020-01-01/extension/event/next HTTP/1.1\r\n"
        )
        return self.lambda_side

    def connect(self) -> Peer:
        """A runtime's connection."""
        return connect(self.port)

    def limit_descriptors(self, most: int) -> None:
        """Of what it may open from now on."""
        (proxy,) = proxies_of(self.process.pid)
        _, hard = resource.prlimit(proxy, resource.RLIMIT_NOFILE)
        resource.prlimit(proxy, resource.RLIMIT_NOFILE, (most, hard))

    def end(self) -> tuple[int, bytes]:
        """Its exit status and what it printed, once it ends by itself."""
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors

    def close(self) -> None:
        """Leave nothing behind."""
        self.process.kill()
        self.process.wait()
        self.errors.close()
        self.api.close()


def reply(event: object) -> bytes:
    """An event of the Extensions API as Lambda sends it; SHUTDOWN's type is sniffed, and it has no
    identifier.
    """
    body = json.dumps(event).encode()
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nDate: Sun, 22 Nov 2026 07:05:00 GMT\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
