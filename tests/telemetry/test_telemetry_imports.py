"""What the telemetry process loads until its first export, which the function's first invocation
may have to pay for.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.telemetry.proxy_records import VARIABLES

if TYPE_CHECKING:
    from tests.telemetry.otlp_collector import Collector

ROOT = Path(__file__).parents[2]
# As boot starts it; the proxy's records are made before, since it runs this code as well.
PROGRAM = """
import sys
url, source, event, hears_platform = sys.argv[1:]
sys.path[:0] = [source]
bare = set(sys.modules)
import lrap_otel.ipc.channel, lrap_otel.settings
from lrap_otel.ipc import records
known = set(sys.modules)
channel = lrap_otel.ipc.channel.Channel()
platform = None
if hears_platform:
    from lrap_otel.ipc.telemetry_port import open_port
    platform = open_port("127.0.0.1")
    known = set(sys.modules)
from tests.telemetry import proxy_records
loaded = set(sys.modules) - known
for name in loaded:
    del sys.modules[name]
for message, payload in (proxy_records.delivered(event.encode()), proxy_records.finished()):
    channel.offer(message, payload)
channel.offer(records.flush(1, 60_000, 0, 0))
channel.offer(records.shutdown(2, "spindown", 1 << 50, 0, 0))
from lrap_otel.telemetry.worker import serve
variables = {b"OTEL_EXPORTER_OTLP_ENDPOINT": url.encode(), b"LRAP_SPOOL_DIR": b"/nowhere"}
serve(channel.far, variables, None, platform)
print(*sorted(name for name in set(sys.modules) - known if not name.startswith("lrap_otel.")))
print(*sorted(name for name in set(sys.modules) - known if name.startswith("lrap_otel.")))
"""

# C modules, which are part of the interpreter or load in a tenth of a millisecond.
STANDARD_LIBRARY = {
    "_bisect",
    "_collections",
    "_json",
    "_random",
    "_struct",
    "_thread",
    "binascii",
    "gc",
    "math",
}
# Of `from __future__ import annotations`.
STANDARD_LIBRARY |= {"__future__"}

OURS = {
    "lrap_otel.propagation",
    "lrap_otel.propagation.context",
    "lrap_otel.propagation.sampling",
    "lrap_otel.telemetry",
    "lrap_otel.telemetry.aggregation",
    "lrap_otel.telemetry.bodies",
    "lrap_otel.telemetry.dates",
    "lrap_otel.telemetry.export",
    "lrap_otel.telemetry.export.at_once",
    "lrap_otel.telemetry.export.compose",
    "lrap_otel.telemetry.export.connection",
    "lrap_otel.telemetry.export.deadline",
    "lrap_otel.telemetry.export.encode",
    "lrap_otel.telemetry.export.endpoint",
    "lrap_otel.telemetry.export.exporter",
    "lrap_otel.telemetry.export.lookup",
    "lrap_otel.telemetry.export.losses",
    "lrap_otel.telemetry.export.proxies",
    "lrap_otel.telemetry.export.retry",
    "lrap_otel.telemetry.export.ways",
    "lrap_otel.telemetry.export.waiting",
    "lrap_otel.telemetry.export.wire",
    "lrap_otel.telemetry.failures",
    "lrap_otel.telemetry.heads",
    "lrap_otel.telemetry.record_queue",
    "lrap_otel.telemetry.open_invocations",
    "lrap_otel.telemetry.json_text",
    "lrap_otel.telemetry.limits",
    "lrap_otel.telemetry.message_reader",
    "lrap_otel.telemetry.metrics",
    "lrap_otel.telemetry.otlp",
    "lrap_otel.telemetry.otlp.metrics",
    "lrap_otel.telemetry.otlp.responses",
    "lrap_otel.telemetry.otlp.traces",
    "lrap_otel.telemetry.otlp.wire",
    "lrap_otel.telemetry.percent",
    "lrap_otel.telemetry.pipeline",
    "lrap_otel.telemetry.redaction",
    "lrap_otel.telemetry.resource",
    "lrap_otel.telemetry.results",
    "lrap_otel.telemetry.semconv",
    "lrap_otel.telemetry.setting_names",
    "lrap_otel.telemetry.settings",
    "lrap_otel.telemetry.spans",
    "lrap_otel.telemetry.triggers",
    "lrap_otel.telemetry.triggers.description",
    "lrap_otel.telemetry.triggers.events",
    "lrap_otel.telemetry.triggers.table",
    "lrap_otel.telemetry.triggers.times",
    "lrap_otel.telemetry.url",
    "lrap_otel.telemetry.worker",
}
# Where the Telemetry API is asked, which is the default.
OF_THE_PLATFORM = {
    "lrap_otel.telemetry.platform",
    "lrap_otel.telemetry.platform.batches",
    "lrap_otel.telemetry.platform.listener",
    "lrap_otel.telemetry.platform.observer",
    "lrap_otel.telemetry.platform.phases",
    "lrap_otel.telemetry.platform.reports",
}
PREFIX = "lrap_otel.telemetry.triggers."
# These have no member in common by which they could be told from others.
ALWAYS = {"graphql", "workflows", "http", "requests"}
FAMILIES = {
    "a direct call": ("{}", set()),
    "HTTP": (
        '{"version":"2.0","rawQueryString":"a=b&page=2","requestContext":{"http":{"method":"GET"}}}',
        set(),
    ),
    "SQS": (
        '{"Records":[{"eventSource":"aws:sqs","messageId":"1","body":"{}"}]}',
        {
            "messaging",
            "messages",
            "producers",
            *(
                f"lrap_otel.propagation.{each}"
                for each in ("b3", "carrier", "carrier.model", "w3c", "xray")
            ),
        },
    ),
}


@pytest.mark.parametrize("hears_platform", [False, True])
@pytest.mark.parametrize(("event", "families"), FAMILIES.values(), ids=FAMILIES)
def test_what_is_loaded_until_the_first_export_is_a_closed_list(
    collector: Collector, event: str, families: set[str], hears_platform: bool
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-I", "-S", "-c", PROGRAM),
            *(collector.url, str(ROOT), event, "1" * hears_platform),
        ],
        env={name.decode(): value.decode() for name, value in VARIABLES.items()},
        capture_output=True,
        text=True,
        check=True,
    )
    others, ours = done.stdout.splitlines()

    assert set(others.split()) - STANDARD_LIBRARY == set()
    own = set(ours.split()) - OURS - (OF_THE_PLATFORM if hears_platform else set())
    assert {name.removeprefix(PREFIX) for name in own} - ALWAYS - families == set()
    assert len(collector.received("/v1/traces")) == 1


AWS_KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-west-1"}
SIGNING = {"aws", "aws.credentials", "aws.hosts", "aws.sigv4"}
SECRET = "${arn:aws:ssm:eu-west-1:123456789012:parameter/a}"
OPTIONS: dict[str, tuple[dict[str, str], set[str], set[str]]] = {
    "JSON": ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, {"encode_json"}, set()),
    "console": ({"OTEL_TRACES_EXPORTER": "console"}, {"console", "encode_json"}, set()),
    "AWS": (
        {
            **AWS_KEYS,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://xray.eu-west-1.amazonaws.com/v1/traces",
        },
        SIGNING | {"aws.answers", "aws.encode", "aws.endpoint"},
        {"_sha2", "_sha256"},
    ),
    "secrets": (
        {**AWS_KEYS, "OTEL_EXPORTER_OTLP_HEADERS": f"a={SECRET}"},
        SIGNING
        | {f"aws.{each}" for each in ("answers", "api", "referenced", "references", "secrets")},
        {"_sha2", "_sha256"},
    ),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_loads_what_it_needs_and_only_if_it_is_asked_for(
    collector: Collector, option: str
) -> None:
    variables, ours, others = OPTIONS[option]
    all_variables = {
        **variables,
        "http_proxy": collector.url,
        "AWS_ENDPOINT_URL": collector.url,
        "LRAP_SPOOL_BYTES": "0",
    }
    program = PROGRAM.replace("\nserve(", f"\nvariables |= {encoded(all_variables)!r}\nserve(")
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            program,
            collector.url,
            str(ROOT),
            "{}",
            "",
        ],
        env={name.decode(): value.decode() for name, value in VARIABLES.items()},
        capture_output=True,
        text=True,
        check=True,
    )
    standard, own = (set(line.split()) for line in done.stdout.splitlines())

    prefix = "lrap_otel.telemetry."
    added = {
        name.removeprefix(f"{prefix}export.") for name in own - OURS if not name.startswith(PREFIX)
    }
    assert added - {f"{prefix}otlp.json_format"} == ours
    assert standard - STANDARD_LIBRARY <= others


def encoded(variables: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in variables.items()}
