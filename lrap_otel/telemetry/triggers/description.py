"""What an event says about its invocation, in the form that all triggers return."""

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
    """The settings that a trigger needs to describe an event."""

    __slots__ = ("known_methods", "privacy")

    def __init__(
        self, known_methods: frozenset[str] = HTTP_METHODS, privacy: Privacy = _ALL_BUT_SECRETS
    ) -> None:
        self.known_methods = known_methods
        self.privacy = privacy


class LinkTo:
    """A link to a producer's span, with the link's attributes."""

    __slots__ = ("attributes", "context")

    def __init__(self, context: SpanContext, attributes: Attributes) -> None:
        self.context = context
        self.attributes = attributes


class Description:
    """What is known of an invocation from its event.

    `trigger`: one of the five values of ``faas.trigger``. `name`: the row of the table that
    matched; empty if none did. `span_name`: empty if the span is named after the function.

    `made_s`: Unix seconds when the event, or the oldest record of a batch, was made; None if the
    event does not contain it.

    `result_is_http`: the result contains an HTTP status; with `result_has_default_status` a result
    without one means 200. `result_names_failures`: the result may list the records of the batch
    that failed.
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

    def __init__(
        self, trigger: str, attributes: Attributes | None = None, span_name: str = ""
    ) -> None:
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
    """One row of the table of triggers.

    `matches` is called with any JSON object that has `member`, `describe` only with an event that
    matched. `name` is a fixed word, sent as ``lrap.trigger``. `member` is a member that all these
    events have, so that a row is skipped by one look-up; None if there is no such member.
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
    """The description of an event that no trigger matches, that is no JSON object, or that is not
    in the record.
    """
    return Description(semconv.TRIGGER_OTHER)
