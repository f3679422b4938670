"""Changes of stored data: DynamoDB streams, S3, DocumentDB.

Source: OpenTelemetry, "Semantic conventions for FaaS spans", "Datasource". These attributes
describe one document; a batch gets those that are the same for all of its records.
"""

from __future__ import annotations

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.dates import to_iso
from lrap_otel.telemetry.json_text import as_list, as_object, as_text
from lrap_otel.telemetry.percent import unquoted_plus
from lrap_otel.telemetry.triggers import times
from lrap_otel.telemetry.triggers.description import Description, Trigger
from lrap_otel.telemetry.triggers.events import arn_part, holds_records_of, is_from, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.telemetry.semconv import Attributes
    from lrap_otel.telemetry.triggers.description import Event, Options

    # The attributes of one record, empty if unknown, and when the record was made.
    Change = tuple[Attributes, float | None]

_OPERATIONS = {
    "INSERT": semconv.OPERATION_INSERT,
    "MODIFY": semconv.OPERATION_EDIT,
    "REMOVE": semconv.OPERATION_DELETE,
    "insert": semconv.OPERATION_INSERT,
    "update": semconv.OPERATION_EDIT,
    "replace": semconv.OPERATION_EDIT,
    "delete": semconv.OPERATION_DELETE,
    "ObjectCreated": semconv.OPERATION_INSERT,
    "ObjectRemoved": semconv.OPERATION_DELETE,
    "LifecycleExpiration": semconv.OPERATION_DELETE,
    # The object stays; its properties or its storage class change.
    "ObjectAcl": semconv.OPERATION_EDIT,
    "ObjectRestore": semconv.OPERATION_EDIT,
    "ObjectTagging": semconv.OPERATION_EDIT,
    "LifecycleTransition": semconv.OPERATION_EDIT,
    "IntelligentTiering": semconv.OPERATION_EDIT,
}


def _describe_dynamodb(event: Event, _options: Options) -> Description:
    found = records(event)
    description = _of_all([_dynamodb_change(record) for record in found])
    if not found:
        table = _table(event.get("eventSourceARN"))
        description.attributes = {semconv.FAAS_DOCUMENT_COLLECTION: table} if table else {}
    description.result_names_failures = True
    return description


def _dynamodb_change(record: dict[str, Any]) -> Change:
    made_s = times.from_seconds(
        as_object(record.get("dynamodb")).get("ApproximateCreationDateTime")
    )
    attributes: Attributes = {
        semconv.FAAS_DOCUMENT_COLLECTION: _table(record.get("eventSourceARN")),
        semconv.FAAS_DOCUMENT_OPERATION: _OPERATIONS.get(as_text(record.get("eventName")), ""),
        semconv.FAAS_DOCUMENT_TIME: to_iso(made_s),
    }
    return attributes, made_s


def _table(arn: Any) -> str:
    # arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2015-05-11T21:21:33.291
    return "".join(arn_part(arn, 5).split("/")[1:2])


def _describe_s3(event: Event, _options: Options) -> Description:
    return _of_all([_s3_change(record) for record in records(event)])


def _s3_change(record: dict[str, Any]) -> Change:
    stored = as_object(record.get("s3"))
    bucket = as_text(as_object(stored.get("bucket")).get("name"))
    key = unquoted_plus(as_text(as_object(stored.get("object")).get("key")))
    # "ObjectCreated:Put"; test messages have "s3:" before it.
    kind = as_text(record.get("eventName")).removeprefix("s3:").partition(":")[0]
    time = as_text(record.get("eventTime"))
    attributes: Attributes = {
        semconv.FAAS_DOCUMENT_COLLECTION: bucket,
        semconv.FAAS_DOCUMENT_OPERATION: _OPERATIONS.get(kind, ""),
        semconv.FAAS_DOCUMENT_NAME: key,
        semconv.FAAS_DOCUMENT_TIME: time,
        semconv.AWS_S3_BUCKET: bucket,
        semconv.AWS_S3_KEY: key,
    }
    return attributes, times.from_iso(time)


def _describe_documentdb(event: Event, _options: Options) -> Description:
    changes = [as_object(as_object(each).get("event")) for each in as_list(event.get("events"))]
    return _of_all([_documentdb_change(change) for change in changes])


def _documentdb_change(change: dict[str, Any]) -> Change:
    """The conventions' names come from Cosmos DB: its database is the collection, its table is the
    name.
    """
    namespace = as_object(change.get("ns"))
    made_s = times.from_seconds(
        as_object(as_object(change.get("clusterTime")).get("$timestamp")).get("t")
    )
    attributes: Attributes = {
        semconv.FAAS_DOCUMENT_COLLECTION: as_text(namespace.get("db")),
        semconv.FAAS_DOCUMENT_NAME: as_text(namespace.get("coll")),
        semconv.FAAS_DOCUMENT_OPERATION: _OPERATIONS.get(as_text(change.get("operationType")), ""),
        semconv.FAAS_DOCUMENT_TIME: to_iso(made_s),
    }
    return attributes, made_s


def _of_all(changes: list[Change]) -> Description:
    """A batch's description: the attributes that are known and the same for all changes."""
    first = changes[0][0] if changes else {}
    shared = {
        name: value
        for name, value in first.items()
        if value and all(attributes[name] == value for attributes, _ in changes)
    }
    description = Description(semconv.TRIGGER_DATASOURCE, shared)
    description.made_s = times.oldest(made_s for _, made_s in changes)
    return description


TRIGGERS = (
    Trigger("dynamodb", "Records", holds_records_of("aws:dynamodb"), _describe_dynamodb),
    Trigger("s3", "Records", holds_records_of("aws:s3"), _describe_s3),
    Trigger("documentdb", "events", is_from("aws:docdb"), _describe_documentdb),
)
