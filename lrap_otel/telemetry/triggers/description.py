"""What a trigger's event says about the invocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lrap_otel.telemetry import semconv

if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.propagation.context import SpanContext

    Event = dict[str, Any]
    Value = str | int | bool | list[str]
    Attributes = dict[str, Value]

HTTP_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"},
)


class Options(NamedTuple):
    """What describing an event depends on beside the event."""

    known_methods: frozenset[str] = HTTP_METHODS


class LinkTo(NamedTuple):
    """A span of a producer, and what to say about the link."""

    context: SpanContext
    attributes: Attributes


class Description:
    """`trigger` is one of the five words of ``faas.trigger``. `span_name` is empty where the function's name is the name.

    `result_is_http`: the result carries an HTTP status; `result_has_default_status`: and 200 where it names none.
    """

    __slots__ = (
        "attributes",
        "links",
        "result_has_default_status",
        "result_is_http",
        "span_name",
        "trigger",
    )

    def __init__(self, trigger: str, attributes: Attributes | None = None, span_name: str = "") -> None:
        self.trigger = trigger
        self.attributes: Attributes = attributes if attributes is not None else {}
        self.span_name = span_name
        self.links: list[LinkTo] = []
        self.result_is_http = False
        self.result_has_default_status = False


class Trigger(NamedTuple):
    """One row of the table. `matches` may be given any JSON object; `describe` only one that matched."""

    name: str
    matches: Callable[[Event], bool]
    describe: Callable[[Event, Options], Description]


def unknown() -> Description:
    """Of an event that nothing matches, or that is no JSON object, or that did not reach us."""
    return Description(semconv.TRIGGER_OTHER)
