"""Who the telemetry says it comes from."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from lrap_otel import __version__
from lrap_otel.ipc import records
from tests.telemetry.proxy_records import DELIVERED_NS, VARIABLES, delivered, finished
from tests.telemetry.telemetry_thread import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.telemetry.otlp_collector import Collector
    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

STARTED = (records.started(DELIVERED_NS, "orders", "7", "app.handler", "123456789012"), b"")
RUNTIME = (
    records.runtime(
        "/aws/lambda/orders", "2026/11/22/[7]abc", "AWS_Lambda_python3.13", "app.handler"
    ),
    b"",
)


def resource_of(collector: Collector) -> dict[str, Any]:
    sent = collector.next("/v1/traces").traces().resource_spans[0]
    assert (
        sent.schema_url
        == sent.scope_spans[0].schema_url
        == "https://opentelemetry.io/schemas/1.44.0"
    )
    return plain(sent.resource.attributes)


def test_the_resource_has_what_the_environment_lambda_and_the_wrapper_told(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector)
    telemetry.offer(STARTED, RUNTIME, delivered(), finished())
    assert telemetry.flush()

    resource = resource_of(collector)
    assert uuid.UUID(resource.pop("service.instance.id")).version == 4
    assert resource == {
        "aws.log.group.names": ["/aws/lambda/orders"],
        "aws.log.stream.names": ["2026/11/22/[7]abc"],
        "cloud.account.id": "123456789012",
        "cloud.platform": "aws_lambda",
        "cloud.provider": "aws",
        "cloud.region": "us-east-1",
        "faas.instance": "2026/11/22/[7]abc",
        "faas.max_memory": 134_217_728,
        "faas.name": "orders",
        "faas.version": "7",
        "lrap.execution_env": "AWS_Lambda_python3.13",
        "service.name": "orders",
        "telemetry.distro.name": "lrap-otel",
        "telemetry.distro.version": __version__,
        "telemetry.sdk.language": "python",
        # "opentelemetry" is reserved for OpenTelemetry's own SDKs (resource conventions, "Telemetry
        # SDK").
        "telemetry.sdk.name": "lrap-otel",
        "telemetry.sdk.version": __version__,
    }


def test_what_nobody_told_is_left_out(start: Start, collector: Collector) -> None:
    telemetry = start(collector, **{name.decode(): "" for name in VARIABLES})
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()

    resource = resource_of(collector)
    assert resource["service.name"] == "unknown_service"
    assert not {
        name
        for name in resource
        if name.startswith(("faas.", "aws.", "cloud.account", "cloud.region"))
    }


def test_the_user_has_the_last_word(start: Start, collector: Collector) -> None:
    telemetry = start(
        collector,
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=a%20b,service.name=from attributes,faas.name=mine",
        OTEL_SERVICE_NAME="shop",
    )
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()

    resource = resource_of(collector)
    assert (resource["service.name"], resource["faas.name"]) == ("shop", "mine")
    assert resource["deployment.environment.name"] == "a b"


def test_a_slip_of_the_pen_costs_one_attribute_and_is_told(
    start: Start, collector: Collector
) -> None:
    telemetry = start(
        collector,
        OTEL_RESOURCE_ATTRIBUTES="team=shop,broken,service.name=,deployment.environment.name=a%2Cb",
    )
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()

    resource = resource_of(collector)
    assert (
        resource["team"],
        resource["deployment.environment.name"],
        resource["service.name"],
    ) == (
        "shop",
        "a,b",
        "orders",
    )
    assert telemetry.warnings == [
        "OTEL_RESOURCE_ATTRIBUTES: entry 2 has no = (a comma in a value is written %2C); it is left out",
        "OTEL_RESOURCE_ATTRIBUTES: entry 3 (service.name) is empty; it is left out",
    ]
