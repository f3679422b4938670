"""A pet shop's function, with no tracing code in it."""

import json
import os
import time
from typing import Any


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    if "requestContext" in event:
        return answer_http(event)
    if "Records" in event:
        return work_through(event["Records"])
    return change_order(event.get("detail", {}))


def answer_http(event: dict[str, Any]) -> dict[str, Any]:
    print(f"somebody asks for {event.get('rawPath')}")
    headers = event.get("headers", {})
    body = {
        "pet": event.get("pathParameters", {}).get("id"),
        "traceparent": headers.get("traceparent"),
        "_X_AMZN_TRACE_ID": os.environ.get("_X_AMZN_TRACE_ID"),
    }
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body),
    }


def work_through(records: list[dict[str, Any]]) -> dict[str, Any]:
    for record in records:
        json.loads(record["body"])
        time.sleep(0.002)
    return {"batchItemFailures": []}


def change_order(detail: dict[str, Any]) -> dict[str, Any]:
    if detail.get("explode"):
        check_amount(detail)
    return {"changed": detail.get("order")}


def check_amount(detail: dict[str, Any]) -> None:
    raise ValueError(f"order {detail['order']} has no amount")
