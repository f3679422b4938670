"""AWS's OTLP endpoints as a small program: checks every signature as botocore makes it, and keeps
AWS's limits.

It is reached as AWS is: by its own host names, over TLS; a proxy leads there.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from test_export_proxies import Proxy

from tests.telemetry.aws_signatures import signature_by_botocore
from tests.telemetry.otlp_collector import Collector, reply

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from tests.telemetry.otlp_collector import Post

REGION = "eu-west-1"
KEYS = (
    "AKIDEXAMPLE",
    "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "FwoGZXIvYXdzEXAMPLETOKEN//////////",
)
CREDENTIALS = dict(
    zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), KEYS, strict=True),
    AWS_REGION=REGION,
)
# What AWS says:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-OTLPEndpoint.html
FORGED = (
    b'{"message":"The request signature we calculated does not match the signature you provided."}'
)
_LIMITS = {
    "xray": (5_000_000, 10_000, 200_000),
    "monitoring": (1_000_000, 1_000, 1_000_000),
    "logs": (1_048_576, 10_000, 1_000_000),
}


class AwsStandIn:
    """`answers` are what it says first, instead of what it would say; `keys` are the valid
    credentials, by key id.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.answers: list[bytes] = []
        self.keys = {KEYS[0]: KEYS}
        self._tls = tls

    @contextmanager
    def serving(self) -> Iterator[dict[str, str]]:
        """The variables that lead to it."""
        with (
            Collector(self._answer, self._tls) as collector,
            Proxy(collector.port).serving() as proxy,
        ):
            self.collector = collector
            yield CREDENTIALS | {"https_proxy": f"http://{proxy}"}

    def _answer(self, number: int, post: Post) -> bytes:
        if fault := self.fault(post):
            return fault
        return self.answers.pop(0) if self.answers else reply()

    def fault(self, post: Post) -> bytes:
        """What AWS answers to a request that it does not take."""
        fields = post.fields
        given = fields.get("authorization", "")
        if given.startswith("Bearer "):
            return b""
        key_id, _, rest = given.partition("Credential=")[2].partition("/")
        _, region, service, _ = rest.partition(",")[0].split("/")
        signed = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        keys = self.keys.get(key_id)
        if keys is None or fields.get("x-amz-security-token", "") != keys[2]:
            return reply(
                403, b'{"message":"The security token included in the request is invalid."}'
            )
        own = {name: value for name, value in fields.items() if name in {*signed, "x-amz-date"}}
        expected = signature_by_botocore(
            "POST", fields["host"], post.path, own, post.body, keys, region, service
        )
        if given != expected or not fields["host"].startswith(f"{service}.{region}."):
            return reply(403, FORGED)
        return self._beyond_limits(service, post)

    def _beyond_limits(self, service: str, post: Post) -> bytes:
        most_bytes, most, longest = _LIMITS[service]
        if len(post.content) > most_bytes:
            return reply(413)
        if "json" in post.fields["content-type"]:
            return b""
        if service == "logs":
            is_named = {"x-aws-log-group", "x-aws-log-stream"} <= post.fields.keys()
            items: list[Any] = [
                record
                for each in post.logs().resource_logs
                for scope in each.scope_logs
                for record in scope.log_records
            ]
            if not is_named:
                return reply(400, b'{"message":"x-aws-log-group is missing"}')
        elif service == "xray":
            items = [
                span
                for each in post.traces().resource_spans
                for scope in each.scope_spans
                for span in scope.spans
            ]
        else:
            items = [
                point
                for each in post.metrics().resource_metrics
                for scope in each.scope_metrics
                for metric in scope.metrics
                for point in getattr(metric, metric.WhichOneof("data")).data_points
            ]
        if len(items) > most or any(item.ByteSize() > longest for item in items):
            return reply(400, b'{"message":"limit exceeded"}')
        return b""


class CredentialsServer:
    """The container credentials endpoint. `given` are the answers, the last again and again;
    `asked` the requests' fields.
    """

    def __init__(self) -> None:
        self.given: list[tuple[int, bytes]] = []
        self.asked: list[dict[str, str]] = []

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its URI."""
        ours = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                ours.asked.append({name.lower(): value for name, value in self.headers.items()})
                status, body = ours.given.pop(0) if len(ours.given) > 1 else ours.given[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the base's name

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}/2021-04-23/credentials"
            server.shutdown()
            thread.join()


def credentials_json(keys: tuple[str, str, str], expiration: str) -> tuple[int, bytes]:
    """What the endpoint answers."""
    members = {
        "AccessKeyId": keys[0],
        "SecretAccessKey": keys[1],
        "Token": keys[2],
        "Expiration": expiration,
    }
    return 200, json.dumps(members).encode()
