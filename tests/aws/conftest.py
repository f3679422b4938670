"""An AWS to test against: moto's server, and in front of it a proxy that adds what moto leaves out.

The proxy gives functions a RevisionId and holds updates to it, as Lambda does; a test may let it
answer by itself (throttling, a conflict) or see requests pass (to kill a process in the middle).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import io
import json
import logging
import os
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import unquote, urlsplit

import boto3
import pytest
from botocore.loaders import JSONFileLoader
from moto.server import ThreadedMotoServer

from lrap_otel.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REGION = "eu-west-1"
ACCOUNT = "123456789012"
# A shell that starts us in the background has SIGINT ignored, and children inherit that.
PROGRAM = """
import signal, sys
from lrap_otel.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main())
"""
COMMAND = [sys.executable, "-c", PROGRAM]

if TYPE_CHECKING:
    Answer = tuple[int, dict[str, str], bytes]
    # Gets a request's method, path and body; answers in AWS's place, or lets it pass.
    Rule = Callable[[str, str, bytes], Answer | None]
    # Gets a request's method, path and the JSON of its answer; may change it.
    Edit = Callable[[str, str, dict[str, Any]], None]


def refusal(status: int, code: str, message: str = "no") -> Answer:
    """An error as Lambda writes it."""
    body = json.dumps({"Type": "User", "Message": message}).encode()
    return status, {"Content-Type": "application/json", "x-amzn-ErrorType": code}, body


class Proxy:
    """Forwards to `upstream`; `rules` and `edits` may be set at any time."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._lock = threading.Lock()
        self.rules: list[Rule] = []
        self.edits: list[Edit] = []
        self.seen: list[tuple[str, str]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _relay(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, headers, answer = proxy.answer(
                    self.command, self.path, dict(self.headers), body
                )
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except OSError:
                    self.close_connection = True  # the client was killed

            do_GET = do_POST = do_PUT = do_DELETE = _relay  # noqa: N815 - the base class names them

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: object) -> None: ...  # a client that was killed

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        path = unquote(urlsplit(target).path)
        with self._lock:
            self.seen.append((method, path))
        for rule in list(self.rules):
            ruled = rule(method, path, body)
            if ruled is not None:
                return ruled
        if method == "PUT" and path.endswith("/configuration"):
            with self._lock:  # so that no other update comes between looking and changing
                stale = self._stale(path, headers, body)
                return stale or self._forward(method, target, headers, body)
        return self._forward(method, target, headers, body)

    def _stale(self, path: str, headers: dict[str, str], body: bytes) -> Answer | None:
        wanted = json.loads(body).get("RevisionId")
        if not wanted:
            return None
        get = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        _, _, answer = self._forward("GET", path.removesuffix("/configuration"), get, b"")
        configuration = json.loads(answer).get("Configuration")
        if configuration and configuration["RevisionId"] != wanted:
            return refusal(
                412, "PreconditionFailedException", "The RevisionId provided does not match"
            )
        return None

    def _forward(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPConnection(*self._upstream)
        try:
            connection.request(method, target, body or None, headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        kept = {
            name: value
            for name, value in response.getheaders()
            if name.lower() in {"content-type", "x-amzn-errortype"}
        }
        path = unquote(urlsplit(target).path)
        if response.status == 200 and content.startswith(b"{"):
            content = self._edited(method, path, content)
        return response.status, kept, content

    def _edited(self, method: str, path: str, content: bytes) -> bytes:
        document = json.loads(content)
        configuration = document.get("Configuration")
        if configuration:
            text = json.dumps([configuration.get("Layers"), configuration.get("Environment")])
            configuration["RevisionId"] = hashlib.sha256(text.encode()).hexdigest()
        for edit in self.edits:
            edit(method, path, document)
        return json.dumps(document).encode()


class Aws:
    """What a test does at AWS, past the proxy, and the command line it tests."""

    def __init__(self, moto_url: str, proxy: Proxy, folder: Path) -> None:
        self.proxy = proxy
        self.folder = folder
        self._moto_url = moto_url
        self._clients: dict[tuple[str, str], Any] = {}
        self.role = self._role("role")

    def _role(self, name: str) -> str:
        return str(
            self.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"][
                "Arn"
            ]
        )

    def edge_role(self) -> str:
        return self._role("my-lambda-edge-role")

    def client(self, service: str = "lambda", region: str = REGION) -> Any:
        key = service, region
        if key not in self._clients:
            self._clients[key] = boto3.client(
                service, region_name=region, endpoint_url=self._moto_url
            )
        return self._clients[key]

    def function(self, name: str, region: str = REGION, variables: Any = None, **more: Any) -> str:
        """Create a function; its ARN."""
        code = {"ImageUri": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/r:1"}
        if more.get("PackageType") != "Image":
            code = {"ZipFile": CODE}
            more = {"Runtime": "python3.13", "Handler": "app.handler", **more}
        if variables is not None:
            more["Environment"] = {"Variables": variables}
        made = self.client(region=region).create_function(
            FunctionName=name, **{"Role": self.role, "Code": code, **more}
        )
        return str(made["FunctionArn"])

    def layer(self, name: str = "lrap-otel", region: str = REGION, content: bytes = b"") -> str:
        """Publish a layer's version; its ARN."""
        body = content or zipped({"some": name + os.urandom(4).hex()})
        made = self.client(region=region).publish_layer_version(
            LayerName=name, Content={"ZipFile": body}
        )
        return str(made["LayerVersionArn"])

    def configuration(self, name: str, region: str = REGION) -> dict[str, Any]:
        return dict(self.client(region=region).get_function(FunctionName=name)["Configuration"])

    def variables(self, name: str, region: str = REGION) -> dict[str, str]:
        return dict(self.configuration(name, region).get("Environment", {}).get("Variables", {}))

    def layers(self, name: str, region: str = REGION) -> list[str]:
        return [layer["Arn"] for layer in self.configuration(name, region).get("Layers", [])]

    def snapshot(self, region: str = REGION) -> dict[str, str]:
        """Every function's whole configuration, byte for byte but for the time of its
        last change.
        """
        listed = self.client(region=region).list_functions()["Functions"]
        return {
            function["FunctionName"]: json.dumps({**function, "LastModified": ""})
            for function in listed
        }

    def environment(self, **more: str) -> dict[str, str]:
        """The variables that the command is started with."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_ENDPOINT_URL": self.proxy.url,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            **more,
        }

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run ``lrap-otel`` in this process, with nobody at its standard input."""
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self.environment(**more), clear=True),
            Path(os.devnull).open(encoding="ascii") as nobody,
            mock.patch.object(sys, "stdin", nobody),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                status = main(list(arguments))
            except SystemExit as end:  # argparse
                status = int(end.code or 0)
        return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def zipped(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


CODE = zipped({"app.py": "def handler(event, context): return event"})
# In the layout of the layer; what it holds is not run here.
LAYER = zipped(
    {
        "extensions/lrap-otel": "#!/bin/sh\n",
        "lrap-otel/wrapper": "#!/bin/sh\n",
        "lrap-otel/VERSION": "lrap-otel 9.8.7\nflavour default\n",
    }
)


@pytest.fixture(scope="session")
def read_once() -> Iterator[None]:
    """The description of AWS's services is read once, not for each client: a third of the tests'
    time.
    """
    with mock.patch.object(
        JSONFileLoader, "load_file", staticmethod(functools.cache(JSONFileLoader().load_file))
    ):
        yield


@pytest.fixture(scope="session")
def moto_url(read_once: None) -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.chdir(tmp_path)
    address = urlsplit(moto_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    connection.request("POST", "/moto-api/reset")
    assert connection.getresponse().read()
    connection.close()
    proxy = Proxy((address.hostname or "", address.port or 0))
    (tmp_path / "lrap-otel.zip").write_bytes(LAYER)
    yield Aws(moto_url, proxy, tmp_path)
    proxy.close()
