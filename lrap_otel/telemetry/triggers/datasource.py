"""Changes of stored data: DynamoDB streams, S3, DocumentDB.

Source: OpenTelemetry, "Semantic conventions for FaaS spans", "Datasource". Its attributes describe one document; of a
batch we say what holds for every record in it.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_list, as_object, as_text
from lrap_otel.telemetry.triggers.description import Description, Trigger
from lrap_otel.telemetry.triggers.messages import arn_part
from lrap_otel.telemetry.triggers.messaging import comes_from, records

if TYPE_CHECKING:
    from lrap_otel.telemetry.triggers.description import Attributes, Event, Options

_OPERATIONS = {
    "INSERT": semconv.OPERATION_INSERT,
    "MODIFY": semconv.OPERATION_EDIT,
    "REMOVE": semconv.OPERATION_DELETE,
    "insert": semconv.OPERATION_INSERT,
    "delete": semconv.OPERATION_DELETE,
    "ObjectCreated": semconv.OPERATION_INSERT,
    "ObjectRemoved": semconv.OPERATION_DELETE,
    "LifecycleExpiration": semconv.OPERATION_DELETE,
}


def _describe_dynamodb(event: Event, _options: Options) -> Description:
    return _of_all([_dynamodb_change(record) for record in records(event)])


def _dynamodb_change(record: dict[str, Any]) -> Attributes:
    change = as_object(record.get("dynamodb"))
    # arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2015-05-11T21:21:33.291
    table = arn_part(record.get("eventSourceARN"), 5).split("/")[1:2]
    return {
        semconv.FAAS_DOCUMENT_COLLECTION: "".join(table),
        semconv.FAAS_DOCUMENT_OPERATION: _OPERATIONS.get(as_text(record.get("eventName")), semconv.OPERATION_EDIT),
        semconv.FAAS_DOCUMENT_TIME: _iso_time(change.get("ApproximateCreationDateTime")),
    }


def _describe_s3(event: Event, _options: Options) -> Description:
    return _of_all([_s3_change(record) for record in records(event)])


def _s3_change(record: dict[str, Any]) -> Attributes:
    stored = as_object(record.get("s3"))
    bucket = as_text(as_object(stored.get("bucket")).get("name"))
    key = unquote_plus(as_text(as_object(stored.get("object")).get("key")))
    # "ObjectCreated:Put", in test messages with "s3:" before it.
    kind = as_text(record.get("eventName")).removeprefix("s3:").partition(":")[0]
    return {
        semconv.FAAS_DOCUMENT_COLLECTION: bucket,
        semconv.FAAS_DOCUMENT_OPERATION: _OPERATIONS.get(kind, semconv.OPERATION_EDIT),
        semconv.FAAS_DOCUMENT_NAME: key,
        semconv.FAAS_DOCUMENT_TIME: as_text(record.get("eventTime")),
        semconv.AWS_S3_BUCKET: bucket,
        semconv.AWS_S3_KEY: key,
    }


def _describe_documentdb(event: Event, _options: Options) -> Description:
    changes = [as_object(as_object(each).get("event")) for each in as_list(event.get("events"))]
    return _of_all([_documentdb_change(change) for change in changes])


def _documentdb_change(change: dict[str, Any]) -> Attributes:
    return {
        semconv.FAAS_DOCUMENT_COLLECTION: as_text(as_object(change.get("ns")).get("coll")),
        semconv.FAAS_DOCUMENT_OPERATION: _OPERATIONS.get(as_text(change.get("operationType")), semconv.OPERATION_EDIT),
    }


def _of_all(changes: list[Attributes]) -> Description:
    """What is the same for all, and known."""
    first = changes[0] if changes else {}
    shared = {
        name: value for name, value in first.items() if value and all(change[name] == value for change in changes)
    }
    return Description(semconv.TRIGGER_DATASOURCE, shared)


def _iso_time(seconds: Any) -> str:
    if type(seconds) not in (int, float):
        return ""
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return ""
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


TRIGGERS = (
    Trigger("DynamoDB stream", lambda event: comes_from(event, "aws:dynamodb"), _describe_dynamodb),
    Trigger("S3", lambda event: comes_from(event, "aws:s3"), _describe_s3),
    Trigger("DocumentDB", lambda event: event.get("eventSource") == "aws:docdb", _describe_documentdb),
)
