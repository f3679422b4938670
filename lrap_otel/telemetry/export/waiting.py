"""The finished spans that wait for the collector, and their copy that outlives this process."""

import posix
from _json import encode_basestring_ascii  # `json` itself takes 9 ms to import

from lrap_otel.telemetry.json_text import as_list, as_object, as_text, parse
from lrap_otel.telemetry.otlp.traces import SERVER
from lrap_otel.telemetry.otlp.wire import Resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lrap_otel.telemetry.export.roles import Codec
    from lrap_otel.telemetry.export.spool import Content, Spool
    from lrap_otel.telemetry.otlp.traces import Span
    from lrap_otel.telemetry.otlp.wire import Value
    from lrap_otel.telemetry.settings import SpoolSettings


class _Waiting:
    """One span: as it was finished, until it is encoded."""

    __slots__ = ("encoded", "resource", "size_bytes", "span")

    def __init__(
        self, resource: Resource, span: "Span | None", encoded: "Any" = None, size_bytes: int = 0
    ) -> None:
        self.resource = resource
        self.span = span
        self.encoded = encoded
        self.size_bytes = size_bytes


class WaitingSpans:
    """Spans until the collector has them or will never take them, oldest first, each encoded once.

    `keep` has a copy in the spool, which `recover` reads in the next process. The copies are always
    those of the oldest: what `drop` takes away here is over there as well.
    """

    __slots__ = (
        "_codec",
        "_copied",
        "_gave_way",
        "_has_file",
        "_is_before_snapshot",
        "_is_looking",
        "_limit",
        "_missing",
        "_settings",
        "_spans",
        "_spool",
        "_warn",
    )

    def __init__(
        self, limit: int, codec: "Codec", settings: "SpoolSettings", warn: "Callable[[str], None]"
    ) -> None:
        """At most `limit` spans. `warn` takes a line for people."""
        self._limit = limit
        self._codec = codec
        self._settings = settings
        self._warn = warn
        self._spans: list[_Waiting] = []
        self._copied = 0
        self._spool: Spool | None = None
        self._is_before_snapshot = settings.has_snapshot
        self._gave_way = self._missing = 0
        self._has_file = bool(codec.STORED_AS and settings.limit_bytes)
        # False once something lay there that cannot be used.
        self._is_looking = self._has_file

    def __len__(self) -> int:
        return len(self._spans)

    @property
    def copied(self) -> int:
        """How many of the oldest the next process will find if this one ends."""
        return self._copied

    def add(self, span: "Span") -> int:
        """Returns how many of the oldest gave way to it."""
        self._spans.append(_Waiting(span.resource, span))
        if span.kind == SERVER:
            self._is_before_snapshot = False  # it is an invocation's
        return self._give_way()

    def batch(self, count: int, limit_bytes: int) -> "tuple[Resource, list[Any]]":
        """The oldest spans encoded, and their resource: at most `count`, at least one, and as many
        as may go together. They stay.

        Raises what the encoder does if it cannot encode the first.
        """
        resource = self._spans[0].resource
        batch: list[Any] = []
        size_bytes = 0
        for waiting in self._spans[:count]:
            try:
                self._encode(waiting)
            except Exception:
                if not batch:
                    raise
                break
            size_bytes += waiting.size_bytes
            if batch and (size_bytes > limit_bytes or waiting.resource is not resource):
                break
            batch.append(waiting.encoded)
        return resource, batch

    def drop(self, count: int) -> None:
        """The oldest `count` need not be sent any more."""
        del self._spans[:count]
        over = min(count, self._copied)
        self._copied -= over
        if over and self._spool is not None:
            try:
                self._spool.over(over)
            except OSError:
                return  # at worst the collector gets them once more, with the same ids

    def clear(self) -> None:
        """Forget them all, and what is in the file, whichever process wrote it: they belong to
        another sandbox.
        """
        self._spans.clear()
        self._copied = 0
        self._is_before_snapshot = False
        if self._has_file and self._is_there():
            try:
                (self._spool or self._opened()).remove()
            except OSError:
                return

    def keep(self) -> None:
        """Have a copy of all in the spool, or warn why that cannot be. Nothing is raised."""
        if not self._has_file or self._is_before_snapshot or self._copied == len(self._spans):
            return
        # A process whose proxy was killed may have left a file since.
        self.recover()
        try:
            new = self._stored(self._copied)
            if self._spool is None:
                self._spool = self._opened()
            if new:
                self._spool.keep(
                    new, self._copied, lambda: self._stored(0)[: self._copied + len(new)]
                )
        except Exception as error:  # noqa: BLE001 - they wait here in any case
            self._warn(f"spans that wait are lost if this sandbox is reset: {_why(error)}")
        else:
            self._copied += len(new)

    def recover(self) -> None:
        """Put what an earlier process left before what waits, unless there are copies of ours.

        A file that another process still has is left for the next call. Nothing is raised.
        """
        if not self._is_looking or self._copied or not self._is_there():
            return
        spool = self._opened()
        try:
            content = spool.take()
        except BlockingIOError:
            return
        except OSError as error:
            self._is_looking = False
            self._warn(f"spans that an earlier process left are not read: {_why(error)}")
            return
        if content is None:
            return
        self._spool = spool
        self._spans[:0] = self._restored(content)
        self._copied = len(content.spans)
        self._missing += content.missing
        if content.is_damaged:
            self._warn(
                f"the file of spans that an earlier process left ({spool.path}) is damaged after "
                f"{len(content.spans)} of them; what came later in it is lost"
            )
        self._gave_way += self._give_way()

    def take_losses(self) -> tuple[int, int]:
        """How many spans have given way to what was recovered, and for how many an earlier process
        had no room, since the last call.
        """
        losses = self._gave_way, self._missing
        self._gave_way = self._missing = 0
        return losses

    def close(self) -> None:
        """Let the next process have the file."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _give_way(self) -> int:
        surplus = max(0, len(self._spans) - self._limit)
        if surplus:
            self.drop(surplus)
        return surplus

    def _encode(self, waiting: _Waiting) -> None:
        if waiting.span is not None:
            waiting.encoded = self._codec.span(waiting.span)
            waiting.size_bytes = self._codec.size(waiting.span, waiting.encoded)
            waiting.span = None

    def _stored(self, first: int) -> list[tuple[bytes, bytes]]:
        """Those from the `first` on as the spool has them, up to one that cannot be encoded."""
        resources: dict[int, bytes] = {}
        stored = []
        for waiting in self._spans[first:]:
            try:
                self._encode(waiting)
            except Exception:  # noqa: BLE001 - the next attempt to send it says so
                break
            key = id(waiting.resource)
            if key not in resources:
                resources[key] = _written(waiting.resource)
            stored.append((resources[key], waiting.encoded))
        return stored

    def _restored(self, content: "Content") -> list[_Waiting]:
        resources: dict[bytes, Resource] = {}
        restored = []
        for of_span, span in content.spans:
            if of_span not in resources:
                resources[of_span] = _read(of_span)
            restored.append(_Waiting(resources[of_span], None, span, len(span)))
        return restored

    def _is_there(self) -> bool:
        try:
            posix.lstat(self._settings.path)
        except OSError:
            return False
        return True

    def _opened(self) -> "Spool":
        from lrap_otel.telemetry.export.spool import Spool  # noqa: PLC0415 - once an export has failed

        return Spool(self._settings.path, self._settings.limit_bytes, self._codec.STORED_AS)


def _why(error: BaseException) -> str:
    if isinstance(error, BlockingIOError):
        return "another process has the file"
    return str(error) or type(error).__name__


def _written(resource: Resource) -> bytes:
    """A resource as JSON, which every codec can read again."""
    members = [
        f"{encode_basestring_ascii(name)}:{_json(value)}"
        for name, value in resource.attributes.items()
    ]
    return f"[{{{','.join(members)}}},{encode_basestring_ascii(resource.schema_url)}]".encode()


def _json(value: "Value") -> str:
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return f"[{','.join([_json(each) for each in value])}]" if isinstance(value, list) else "null"


def _read(written: bytes) -> Resource:
    """What `_written` wrote. Of bytes that it did not write, a resource without attributes."""
    attributes, schema_url = [*as_list(parse(written)), None, None][:2]
    written_values = {
        name: value for name, value in as_object(attributes).items() if _is_plain(value)
    }
    return Resource(written_values, as_text(schema_url))


def _is_plain(value: "Value") -> bool:
    """A text, a number, a truth or a list of these: a stranger's may be nested too deeply to
    encode.
    """
    return all(
        isinstance(each, (str, int, float))
        for each in (value if isinstance(value, list) else [value])
    )
