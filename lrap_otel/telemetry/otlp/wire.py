"""Protobuf's wire format, as far as OTLP needs it, and the messages that all signals share.

Every function returns the bytes of one field, key included. A scalar of proto3 that is zero or
empty is left out, as protobuf's own encoders leave it out.

Sources: Protocol Buffers, "Encoding"; opentelemetry-proto, ``common/v1/common.proto``,
``resource/v1/resource.proto``.
"""

from _struct import pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    # The values of OTLP's AnyValue.
    Value = str | int | float | bool | bytes | None | Sequence["Value"] | Mapping[str, "Value"]
    Attributes = Mapping[str, Value]

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5

_64_BITS = (1 << 64) - 1
_SMALL = tuple(bytes((value,)) for value in range(128))


def varint(value: int) -> bytes:
    """A whole number of at most 64 bits, seven bits in each byte, lowest first.

    A negative number takes ten bytes.
    """
    if 0 <= value < 128:
        return _SMALL[value]
    value &= _64_BITS
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def integer(number: int, value: int) -> bytes:
    """An ``int32``, ``int64``, ``uint32``, ``uint64``, ``bool`` or enum."""
    return varint(number << 3 | VARINT) + varint(value) if value else b""


def signed(number: int, value: int) -> bytes:
    """An ``sint32``: near zero, negative numbers are as short as positive ones."""
    return integer(number, value << 1 if value >= 0 else -value * 2 - 1)


def fixed_32(number: int, value: int) -> bytes:
    """A ``fixed32``."""
    return varint(number << 3 | FIXED_32) + value.to_bytes(4, "little") if value else b""


def fixed_64(number: int, value: int) -> bytes:
    """A ``fixed64``."""
    return varint(number << 3 | FIXED_64) + value.to_bytes(8, "little") if value else b""


def double(number: int, value: float) -> bytes:
    """A ``double`` that is optional or part of a oneof: written even if it is zero."""
    return varint(number << 3 | FIXED_64) + pack("<d", value)


def message(number: int, body: bytes) -> bytes:
    """Bytes, text in UTF-8, or an embedded message; written even if it is empty."""
    return varint(number << 3 | BYTES) + varint(len(body)) + body


def data(number: int, value: bytes) -> bytes:
    """A ``bytes``."""
    return message(number, value) if value else b""


def text(number: int, value: str) -> bytes:
    """A ``string``.

    A lone surrogate, which JSON may contain and UTF-8 cannot encode, becomes a question mark.
    """
    return message(number, value.encode("utf-8", "replace")) if value else b""


def packed_doubles(number: int, values: "Iterable[float]") -> bytes:
    """A repeated ``double``."""
    return data(number, b"".join([pack("<d", value) for value in values]))


def packed_fixed_64(number: int, values: "Iterable[int]") -> bytes:
    """A repeated ``fixed64``."""
    return data(number, b"".join([value.to_bytes(8, "little") for value in values]))


def packed_varints(number: int, values: "Iterable[int]") -> bytes:
    """A repeated ``uint64``."""
    return data(number, b"".join([varint(value) for value in values]))


def attributes(number: int, values: "Attributes") -> bytes:
    """A repeated ``KeyValue``, in the order of `values`."""
    return b"".join([message(number, _key_value(key, value)) for key, value in values.items()])


def any_value(value: "Value") -> bytes:
    """The body of an ``AnyValue``.

    OTLP has no number beyond 64 bits; such a number becomes a text of its digits.
    """
    if isinstance(value, str):
        return message(1, value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return (
            b"\x18" + varint(value)
            if -(1 << 63) <= value < 1 << 63
            else message(1, str(value).encode())
        )
    if isinstance(value, float):
        return double(4, value)
    return b"" if value is None else _compound(value)


def _compound(value: "bytes | Sequence[Value] | Mapping[str, Value]") -> bytes:
    if isinstance(value, bytes):
        return message(7, value)
    if isinstance(value, dict):
        return message(6, attributes(1, value))
    return message(5, b"".join([message(1, any_value(each)) for each in value]))


def _key_value(key: str, value: "Value") -> bytes:
    return text(1, key) + message(2, any_value(value))


class Resource:
    """The source of telemetry. `encoded` is its message, made once for all requests."""

    __slots__ = ("attributes", "encoded", "schema_url")

    def __init__(self, values: "Attributes", schema_url: str = "") -> None:
        self.attributes = values
        self.schema_url = schema_url
        self.encoded = attributes(1, values)


class Scope:
    """The instrumentation scope."""

    __slots__ = ("encoded", "name", "schema_url", "version")

    def __init__(self, name: str, version: str = "", schema_url: str = "") -> None:
        self.name = name
        self.version = version
        self.schema_url = schema_url
        self.encoded = text(1, name) + text(2, version)


def request(resource: Resource, scope: Scope, encoded: "Iterable[bytes]") -> bytes:
    """An export request of any signal: one resource, one scope, and `encoded`, the messages of the
    spans, metrics or log records.

    The messages of the three requests have the same field numbers.
    """
    of_scope = (
        message(1, scope.encoded)
        + b"".join([message(2, each) for each in encoded])
        + text(3, scope.schema_url)
    )
    of_resource = message(1, resource.encoded) + message(2, of_scope) + text(3, resource.schema_url)
    return message(1, of_resource)
