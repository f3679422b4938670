"""Names that leave us are the conventions' or ours, and all of them are documented."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import opentelemetry.semconv
import pytest
from opentelemetry.semconv.schemas import Schemas

import lrap_otel
from lrap_otel.telemetry import failures, metrics, semconv
from lrap_otel.telemetry.triggers import table

SOURCE = Path(__file__).parents[2]
DOCUMENT = (SOURCE / "docs" / "telemetry.md").read_text(encoding="utf-8")

# Named by AWS's or OpenTelemetry's prose alone; the constants have none of them.
IN_PROSE_ALONE = {"x-ray-env", "source", "exception", "init"}
OURS = {
    "lrap-otel",
    semconv.SCOPE_VERSION,
    "aws.kinesis",
    "aws.firehose",
    "aws.eventbridge",
    "aws.durable.execution.arn",
    "aws.durable.execution.replay",
    # X-Ray's annotations.
    "aws.responseLatency",
    "aws.responseDuration",
    "aws.runtimeOverhead",
    "aws.extensionOverhead",
    "aws.xray.annotations",
}


def constants(module: object) -> set[str]:
    return {
        value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)
    }


def words_of_the_conventions() -> set[str]:
    """Every attribute, metric and well-known value that the package
    `opentelemetry.semconv` names.
    """
    words = set()
    root = Path(opentelemetry.semconv.__path__[0])
    for path in root.rglob("*.py"):
        name = ".".join(("opentelemetry", "semconv", *path.relative_to(root).with_suffix("").parts))
        module = importlib.import_module(name.removesuffix(".__init__"))
        words |= constants(module)
        for value in vars(module).values():
            if isinstance(value, type) and value.__name__.endswith("Values"):
                words |= {member.value for member in value}
    return words


def attributes_and_metrics() -> set[str]:
    return {
        name for name in constants(semconv) if "." in name and not name.startswith("https:")
    } - {semconv.SCOPE_VERSION}


def test_every_name_is_the_conventions_or_ours() -> None:
    names = constants(semconv) - {semconv.SCHEMA_URL} - IN_PROSE_ALONE - OURS
    ours = {name for name in names if name.startswith("lrap.")}

    assert names - ours - words_of_the_conventions() == set()
    assert ours


def test_the_schema_url_is_that_of_the_installed_conventions() -> None:
    assert list(Schemas)[-1].value == semconv.SCHEMA_URL


@pytest.mark.parametrize("name", sorted(attributes_and_metrics()))
def test_every_name_stands_in_the_document(name: str) -> None:
    assert f"`{name}`" in DOCUMENT


@pytest.mark.parametrize("metric", metrics.INSTRUMENTS, ids=lambda metric: metric.name)
def test_every_metric_stands_in_the_document_with_its_kind_and_unit(
    metric: metrics.Instrument,
) -> None:
    assert f"| `{metric.name}` | {metric.kind} | `{metric.unit}` |" in DOCUMENT


def test_the_document_has_the_table_of_triggers_in_its_order() -> None:
    described = re.findall(
        r"^\| `([a-z0-9_]+)` \| (?:http|pubsub|datasource|timer|other) \|",
        DOCUMENT,
        flags=re.MULTILINE,
    )

    assert described == [
        trigger.name for family, _ in table.FAMILIES for trigger in table.rows_of(family)
    ]


def test_every_reason_of_a_shutdown_stands_in_the_document() -> None:
    for failure in (*failures.SHUTDOWN_FAILURES.values(), failures.SHUTDOWN_OTHER):
        assert f"`{failure.type}`" in DOCUMENT


def test_the_document_names_nothing_that_the_code_does_not() -> None:
    named = set(re.findall(r"^\| `([a-z_]+(?:\.[a-z_]+)+)` \|", DOCUMENT, flags=re.MULTILINE))

    assert named - attributes_and_metrics() == set()


def test_the_scopes_version_is_the_packages() -> None:
    assert lrap_otel.__version__ == semconv.SCOPE_VERSION
