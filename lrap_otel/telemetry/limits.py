"""The user's limits on attributes: their number and the length of their texts."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lrap_otel.telemetry.semconv import Attributes, Value
    from lrap_otel.telemetry.settings import ExportSettings


class Limits:
    """OpenTelemetry's span limits. `max_length` counts characters; 0 means no limit.

    Source: OpenTelemetry, "Tracing SDK", "Span limits".
    """

    __slots__ = (
        "max_attributes",
        "max_event_attributes",
        "max_events",
        "max_length",
        "max_link_attributes",
        "max_links",
    )

    def __init__(self, settings: "ExportSettings") -> None:
        self.max_length = settings.max_attribute_length
        self.max_attributes = settings.max_attributes
        self.max_events = settings.max_events
        self.max_links = settings.max_links
        self.max_event_attributes = settings.max_event_attributes
        self.max_link_attributes = settings.max_link_attributes

    def applied(self, attributes: "Mapping[str, Value]", most: int) -> "tuple[Attributes, int]":
        """The first `most` attributes with their texts cut to the limit, and the number of those
        left out.
        """
        kept = dict(attributes)
        if len(kept) > most:
            kept = dict(list(kept.items())[:most])
        if self.max_length:
            kept = {name: self._cut(value) for name, value in kept.items()}
        return kept, len(attributes) - len(kept)

    def _cut(self, value: "Value") -> "Value":
        if isinstance(value, str):
            return value[: self.max_length]
        if isinstance(value, list):
            return [part[: self.max_length] for part in value]
        return value


def encodable(text: str) -> str:
    """`text` with a question mark for each lone surrogate, which JSON may contain and
    UTF-8 cannot.
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
