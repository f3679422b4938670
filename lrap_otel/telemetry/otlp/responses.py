"""The collector's response to an export that it accepted: how much of it was rejected.

Source: opentelemetry-proto, ``collector/*/v1/*_service.proto``; the three responses have the same
field numbers.
"""

from lrap_otel.telemetry.otlp.wire import BYTES, FIXED_32, FIXED_64, VARINT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_VARINT = 10
_SIGN = 1 << 63


def rejected(response: bytes) -> int:
    """How many spans, data points or log records were rejected; 0 if none, or if `response` is
    malformed.

    The bytes are not trusted: nothing is raised, and the time is linear in their length.
    """
    count = 0
    try:
        for number, partial_success in _fields(response):
            if number == 1 and isinstance(partial_success, bytes):
                for inner, value in _fields(partial_success):
                    if inner == 1 and isinstance(value, int):
                        count = value
    except ValueError:
        return 0
    return count if count < _SIGN else 0  # The field is signed; a negative count has no meaning.


def _fields(data: bytes) -> "Iterator[tuple[int, int | bytes]]":
    """The number and the value of every field: integers as they are, everything else as bytes.

    Raises ValueError if `data` is malformed, or has groups, which proto3 does not have.
    """
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        if not 0 < key >> 3 < 1 << 29:
            raise ValueError(key)
        value: int | bytes
        if key & 7 == VARINT:
            value, position = _varint(data, position)
        else:
            length, position = _length(key & 7, data, position)
            value = data[position : position + length]
            if len(value) < length:
                raise ValueError(length)
            position += length
        yield key >> 3, value


def _length(wire_type: int, data: bytes, position: int) -> tuple[int, int]:
    if wire_type == BYTES:
        return _varint(data, position)
    if wire_type == FIXED_64:
        return 8, position
    if wire_type == FIXED_32:
        return 4, position
    raise ValueError(wire_type)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for count, byte in enumerate(data[position : position + _LONGEST_VARINT], 1):
        value |= (byte & 127) << 7 * (count - 1)
        if byte < 128:
            return value & (1 << 64) - 1, position + count
    raise ValueError(position)
