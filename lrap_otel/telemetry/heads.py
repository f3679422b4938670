"""An HTTP head as a record contains it, read for spans. The proxy has validated it."""

from __future__ import annotations


class Head:
    """The fields of one head. Names are compared in lower case; of several fields of one name the
    first is used.
    """

    __slots__ = ("_fields",)

    def __init__(self, head: bytes) -> None:
        lines = head.decode("utf-8", "replace").split("\r\n")[1:]
        self._fields = parse_fields(lines)

    def get(self, name: str) -> str:
        """The value of field `name`, given in lower case; empty if absent."""
        return self._fields.get(name, "")

    @property
    def is_chunked(self) -> bool:
        return self.get("transfer-encoding").lower().endswith("chunked")

    @property
    def deadline_ms(self) -> int | None:
        """When the function times out, in Unix milliseconds (``Lambda-Runtime-Deadline-Ms``)."""
        text = self.get("lambda-runtime-deadline-ms")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def parse_fields(lines: list[str]) -> dict[str, str]:
    """Values by lower-case field name. The first field of a name is used; a line without a colon is
    skipped.
    """
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields
