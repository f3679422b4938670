"""Events with a marker in place of every text that an event may contain, each with a number of its
own.
"""

from __future__ import annotations

import json
import re
from typing import Any

MARKER = re.compile(rb"MARK([0-9]+)X")
# These texts distinguish kinds of events and are nobody's data: without them no trigger would
# match.
KEPT = frozenset(
    {
        *(
            "eventSource",
            "EventSource",
            "source",
            "detail-type",
            "version",
            "Version",
            "type",
            "Type",
            "eventType",
        ),
        *(
            "parentTypeName",
            "protocol",
            "aws:sqs",
            "dataType",
            "DataType",
            "EventVersion",
            "eventVersion",
        ),
        *("invocationSchemaVersion", "messageType"),
    }
)
# Parameters that servers read as secrets, whatever else is in the query.
SECRET_PARAMETERS = ("token", "Api_Key", "X-Amz-Signature", "client%5Fsecret", "code")


class Planter:
    """`paths` has the place of each marker: names of members, and ``*`` for the positions in a
    list.
    """

    def __init__(self) -> None:
        self.paths: list[tuple[str, ...]] = []

    def planted(self, event: Any) -> Any:
        """`event` with a marker in place of every text, also in JSON inside a text,
        except `KEPT`.
        """
        return self._planted(event, ())

    def marker(self, *path: str) -> str:
        self.paths.append(path)
        return f"MARK{len(self.paths) - 1}X"

    def _planted(self, value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {name: self._planted(member, (*path, name)) for name, member in value.items()}
        if isinstance(value, list):
            return [self._planted(member, (*path, "*")) for member in value]
        return self._of_text(value, path) if isinstance(value, str) else value

    def _of_text(self, text: str, path: tuple[str, ...]) -> Any:
        name = path[-1] if path else ""
        if name in KEPT:
            return text
        if name == "rawQueryString":
            secrets = "&".join(
                f"{secret}={self.marker('a secret parameter', secret)}"
                for secret in SECRET_PARAMETERS
            )
            return (
                f"page=2&{secrets}&next=%2F%3Fcode%3D{self.marker('a secret within a parameter')}"
            )
        if text.startswith("arn:"):
            # Only the resource of an ARN may be somebody's data; the rest names the service.
            return text.rpartition(":")[0] + ":" + self.marker(*path, "resource")
        if text.startswith("{"):
            try:
                return json.dumps(self._planted(json.loads(text), (*path, "JSON")))
            except ValueError:
                pass
        return self.marker(*path)


def with_secret_parameters(event: Any, planter: Planter) -> Any:
    """`event` with additional parameters of secret names, wherever it has parameters."""
    if not isinstance(event, dict):
        return event
    for member in (
        "queryStringParameters",
        "query_string_parameters",
        "multiValueQueryStringParameters",
    ):
        if member in event:
            several = member.startswith("multi")
            secrets = {
                name: planter.marker("a secret parameter", name) for name in SECRET_PARAMETERS
            }
            event[member] = {
                "page": ["2"] if several else "2",
                **{name: [value, value] if several else value for name, value in secrets.items()},
            }
    return event
