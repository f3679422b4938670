"""What crosses the channel between the proxy process and the telemetry process.

A record is a flat tuple of marshal's own types (``str``, ``int``, ``bool``, ``bytes``, ``None``);
marshal costs 0.6 us where pickle and json cost several and need imports. On the wire: ``(VERSION,
kind, fields, payload)``. Both ends run the same interpreter, so marshal's format is the same on
both.

A record to the telemetry process is defined once, by the annotations of a class: their order is
that of the fields. The proxy builds it with the function of the same name and never looks at it
again; the telemetry process reads it as the class. What comes back is built by functions alone.
"""

from marshal import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec

    from typing_extensions import dataclass_transform

    P = ParamSpec("P")
else:

    def dataclass_transform() -> object:
        """For mypy alone: a subclass is called with its annotated fields."""
        return lambda cls: cls


VERSION = 1
# Of marshal: later ones look for the same object twice, which no record has and every record pays
# for.
_FORMAT = 2

STARTED, RUNTIME, DELIVERED, FINISHED, INIT_ERROR, RESTORED, FLUSH, SHUTDOWN, SUBSCRIBED = range(9)
READY, FLUSHED, RELEASED, WARNING, END_OF_REPLIES, OUTPUT = range(100, 106)

# Of a result: how much of its beginning and of its end a `finished` record carries.
CAPTURE_FIRST_BYTES = 65_536
CAPTURE_LAST_BYTES = 4_096

Fields = tuple[object, ...]
Message = tuple[int, Fields]


@dataclass_transform()
class Record:
    """A record as the telemetry process reads it. `payload` is None where there is none or it had
    to be left behind.
    """

    payload: bytes | None = None

    def __init__(self, *fields: object) -> None:
        """ValueError if there are too many or too few."""
        for name, value in zip(type(self).__annotations__, fields, strict=True):
            setattr(self, name, value)


class Started(Record):
    """The register reply: who we run beside. `account_id` is None where Lambda did not tell."""

    at_ns: int
    function_name: str
    function_version: str
    handler: str
    account_id: str | None


class Runtime(Record):
    """The wrapper's hand-over: what Lambda tells only runtimes. Empty where the runtime was not
    told either.
    """

    log_group: str
    log_stream: str
    execution_env: str
    handler: str


class Delivered(Record):
    """An event is with the function.

    The payload is Runtime API's reply head, as it came, followed by the event, as it came, or a
    large HTTP event without its body: `head_length` says where the head ends, and `body_length` how
    long the event was. `delivered_ns` is wall-clock Unix time when the reply was complete;
    `overhead_ns` is what the proxy added from then until the last byte was handed to the runtime. A
    re-delivery repeats the ids of the open invocation.

    The ids are lower-case hex. `parent_span_id_hex` is empty for a root. `trace_flags` are the W3C
    flags of our span (bit 0 sampled, bit 1 random). `link_*` name the X-Ray segment the event came
    in, empty where there is none to link.
    """

    request_id: str
    invocation_id: str
    delivered_ns: int
    overhead_ns: int
    head_length: int
    body_length: int
    trace_id_hex: str
    span_id_hex: str
    parent_span_id_hex: str
    trace_flags: int
    trace_state: str
    link_trace_id_hex: str
    link_span_id_hex: str
    cold_start: bool
    is_redelivery: bool


class Finished(Record):
    """A result or an error has gone to the Runtime API.

    The payload is the runtime's request head, then the first `CAPTURE_FIRST_BYTES` of the body and,
    of a longer body, its last `CAPTURE_LAST_BYTES`; all as on the wire, so a chunked body still has
    its chunk lines and its trailers. `body_length` counts the body's bytes on the wire;
    `first_length` and `last_length` say what the payload holds of them.

    `endpoint` is ``response`` or ``error``. `status` is the Runtime API's HTTP status, 0 where none
    came. `is_complete` is false where the runtime or the Runtime API broke off. `duration_ns` runs
    (monotonic) from the delivery to the result's last byte.
    """

    request_id: str
    invocation_id: str
    endpoint: str
    duration_ns: int
    overhead_ns: int
    status: int
    is_complete: bool
    head_length: int
    first_length: int
    last_length: int
    body_length: int


class InitError(Record):
    """The runtime reported that its initialization failed. The payload is its request head and then
    the body.
    """

    at_ns: int
    head_length: int


class Restored(Record):
    """``/restore/next`` was answered: this is a new sandbox, made from a snapshot."""

    at_ns: int


class Subscribed(Record):
    """Lambda's Telemetry API will deliver its events."""


class Flush(Record):
    """Export all that is finished and answer ``flushed(number, ok)``, for which the sender waits at
    most `budget_ms`; where another flush or a shutdown has followed, its answer is for both.
    `dropped` counts, since the start of this telemetry process, the records for which there was no
    room, and those of which the one before it had not told. `billed_ms` is how long invocations
    waited for flushes since the last record that said so.
    """

    number: int
    budget_ms: int
    dropped: int
    billed_ms: int


class Shutdown(Record):
    """The sandbox ends: close what is open for `reason`, export all before `deadline_ms` (Unix
    time), answer ``flushed(number, ok)`` and end. `dropped` and `billed_ms` as in `Flush`.
    """

    number: int
    reason: str
    deadline_ms: int
    dropped: int
    billed_ms: int


TO_TELEMETRY: "dict[int, Callable[..., Record]]" = {}


def _builder(kind: int, record: "Callable[P, Record]") -> "Callable[P, Message]":
    """What builds a record of this kind from its fields, given by position."""

    def build(*fields: object) -> Message:
        return kind, fields

    TO_TELEMETRY[kind] = record
    return build  # type: ignore[return-value]  # mypy holds callers to the record's own fields


started = _builder(STARTED, Started)
runtime = _builder(RUNTIME, Runtime)
delivered = _builder(DELIVERED, Delivered)
finished = _builder(FINISHED, Finished)
init_error = _builder(INIT_ERROR, InitError)
restored = _builder(RESTORED, Restored)
subscribed = _builder(SUBSCRIBED, Subscribed)
flush = _builder(FLUSH, Flush)
shutdown = _builder(SHUTDOWN, Shutdown)


def ready(process_id: int) -> Message:
    """Back to the extension: this process has loaded everything. Another one may have died before
    its word was read.
    """
    return READY, (process_id,)


def flushed(number: int, ok: bool) -> Message:
    """Back: flush or shutdown `number` is over; `ok` means that the collector has everything."""
    return FLUSHED, (number, ok)


def released(length: int) -> Message:
    """Back: a payload of `length` bytes that came as a memfd is closed."""
    return RELEASED, (length,)


def warning(text: str) -> Message:
    """Back: a line for the log. The telemetry process has no stderr of its own."""
    return WARNING, (text,)


def output(part: str) -> Message:
    """Back: a part of a line for stdout, as it stands. The telemetry process has no stdout of its
    own.
    """
    return OUTPUT, (part,)


def end_of_replies() -> Message:
    """From the extension to itself, through the same queue: all replies sent before this one have
    been read.
    """
    return END_OF_REPLIES, ()


def encode(message: Message, payload: "bytes | memoryview | int | None") -> bytes:
    """One datagram. `payload`: the bytes, which are bytes at the other end, or the length of those
    in the memfd beside it, or None.
    """
    kind, fields = message
    return dumps((VERSION, kind, fields, payload), _FORMAT)  # type: ignore[arg-type]  # fields are marshal's types by construction


def decode(data: bytes) -> tuple[int, Fields, bytes | int | None]:
    """The kind, the fields and the payload of one datagram; ValueError if another
    version wrote it.
    """
    version, kind, fields, payload = loads(data)  # noqa: S302 - our own process wrote it
    if version != VERSION:
        raise ValueError(f"the channel speaks version {version}, this is version {VERSION}")
    return kind, fields, payload


def read(kind: int, fields: Fields, payload: bytes | None) -> Record:
    """The record to the telemetry process that has these fields; ValueError or KeyError if it is
    malformed.
    """
    record = TO_TELEMETRY[kind](*fields)
    record.payload = payload
    return record
