"""What a value must be before it can leave: text that has an encoding, and no longer or more than the user allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lrap_otel.telemetry.triggers.description import Attributes, Value


class Limits(NamedTuple):
    """0 for `max_length` means no limit (OpenTelemetry's default)."""

    max_length: int = 0
    max_attributes: int = 128
    max_links: int = 128

    def applied(self, attributes: Mapping[str, Value]) -> Attributes:
        """The first `max_attributes`, their texts encodable and cut to `max_length` characters."""
        kept = list(attributes.items())[: self.max_attributes]
        return {encodable(name): self._value(value) for name, value in kept}

    def text(self, value: str) -> str:
        """One text, encodable and cut."""
        return encodable(value[: self.max_length] if self.max_length else value)

    def _value(self, value: Value) -> Value:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.text(part) for part in value]
        # Beyond 64 bits OTLP has no number for it.
        return value if -(2**63) <= value < 2**63 else str(value)


def encodable(text: str) -> str:
    """`text` with a question mark for each lone surrogate: JSON may hold them, UTF-8 and so OTLP cannot."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
