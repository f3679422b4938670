"""What a trigger's event says about the invocation."""

from __future__ import annotations

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.redaction import Privacy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lrap_otel.propagation.context import SpanContext
    from lrap_otel.telemetry.semconv import Attributes

    Event = dict[str, Any]

_ALL_BUT_SECRETS = Privacy()
HTTP_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"},
)


class Options:
    """What describing an event depends on beside the event."""

    __slots__ = ("known_methods", "privacy")

    def __init__(self, known_methods: frozenset[str] = HTTP_METHODS, privacy: Privacy = _ALL_BUT_SECRETS) -> None:
        self.known_methods = known_methods
        self.privacy = privacy


class LinkTo:
    """A span of a producer, and what to say about the link."""

    __slots__ = ("attributes", "context")

    def __init__(self, context: SpanContext, attributes: Attributes) -> None:
        self.context = context
        self.attributes = attributes


class Description:
    """`trigger` is one of the five words of ``faas.trigger``; `name` the row of the table that matched, empty if none did.
    `span_name` is empty where the function's name is the name.

    `made_s`: when the event, or the oldest record of a batch, was made, in Unix seconds; None where it does not tell.

    `result_is_http`: the result carries an HTTP status; `result_has_default_status`: and 200 where it names none.
    `result_names_failures`: the result may name the records of the batch that failed.
    """

    __slots__ = (
        "attributes",
        "links",
        "made_s",
        "name",
        "result_has_default_status",
        "result_is_http",
        "result_names_failures",
        "span_name",
        "trigger",
    )

    def __init__(self, trigger: str, attributes: Attributes | None = None, span_name: str = "") -> None:
        self.trigger = trigger
        self.name = ""
        self.attributes: Attributes = attributes if attributes is not None else {}
        self.span_name = span_name
        self.links: list[LinkTo] = []
        self.made_s: float | None = None
        self.result_is_http = False
        self.result_has_default_status = False
        self.result_names_failures = False


class Trigger:
    """One row of the table. `matches` may be given any JSON object that has `member`; `describe` only one that matched.

    `name` is a fixed word: it leaves us as ``lrap.trigger``. `member` is one that all these events have, so that a row for
    other events costs one look; None where they have none in common.
    """

    __slots__ = ("describe", "matches", "member", "name")

    def __init__(
        self,
        name: str,
        member: str | None,
        matches: Callable[[Event], bool],
        describe: Callable[[Event, Options], Description],
    ) -> None:
        self.name = name
        self.member = member
        self.matches = matches
        self.describe = describe


def unknown() -> Description:
    """Of an event that nothing matches, or that is no JSON object, or that did not reach us."""
    return Description(semconv.TRIGGER_OTHER)
