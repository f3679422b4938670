"""What crosses the channel."""

from __future__ import annotations

from marshal import dumps

import pytest

from lrap_otel.ipc import records


def names() -> list[str]:
    return [kind.__name__ for kind in records.TO_TELEMETRY.values()]


def builder(name: str) -> object:
    """``InitError`` is built by ``init_error``."""
    return getattr(
        records, "".join(f"_{c.lower()}" if c.isupper() else c for c in name).removeprefix("_")
    )


@pytest.mark.parametrize("kind", records.TO_TELEMETRY.values(), ids=names())
def test_a_record_is_read_by_the_names_and_in_the_order_it_was_built(
    kind: type[records.Record],
) -> None:
    build = builder(kind.__name__)
    assert callable(build)
    values = {name: f"value of {name}" for name in kind.__annotations__}
    record = records.read(*records.decode(records.encode(build(*values.values()), b"payload")))
    assert type(record) is kind
    assert vars(record) == values | {"payload": b"payload"}


def test_each_kind_has_its_own_number() -> None:
    replies = [
        records.ready(1),
        records.flushed(1, ok=True),
        records.released(2),
        records.warning("x"),
    ]
    numbers = [*records.TO_TELEMETRY, *(number for number, _ in replies)]
    assert len(set(numbers)) == len(numbers) == 13


def test_a_record_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 2"):
        records.decode(dumps((2, records.READY, (), None)))


@pytest.mark.parametrize("fields", [(), (1, 2)])
def test_a_record_with_a_field_too_many_or_too_few_is_refused(fields: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match="zip"):
        records.read(records.RESTORED, fields, None)
