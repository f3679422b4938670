"""The seam between the proxy and the telemetry process: a SEQPACKET socket pair, and memfds for
what is large.

To the proxy it is one call, `Channel.offer`, which never blocks and never raises.
"""

import _socket
import posix
import select

from lrap_otel.ipc import records
from lrap_otel.ipc.backlog import Backlog
from lrap_otel.ipc.event_fd import EventFd, new_event_fd

INLINE_LIMIT_BYTES = 8_192
# At 500 invocations a second, 20 records: of 1.5 KB, 93 fit on the smallest channel.
REST_MS = 20
IN_FLIGHT_LIMIT_BYTES = 16 * 1024 * 1024
# As large as the kernel gives; it cuts what is asked down to net.core.wmem_max.
_SEND_BUFFER_BYTES = 8 * 1024 * 1024
_DATAGRAM_LIMIT_BYTES = 131_072
# Of a payload that waits: with its record less than a datagram, and than an empty channel of the
# smallest kind.
_WAITING_LIMIT_BYTES = 65_536
_ONE_DESCRIPTOR_BYTES = 4
_DO_NOT_WAIT = _socket.MSG_DONTWAIT
# Of a socket's memory: 32-bit numbers, of which these are two. Source: linux/sock_diag.h.
_SO_MEMINFO, _MEMINFO_BYTES, _SEND_USED, _SEND_LIMIT = 55, 36, 2, 3


class Channel:
    """Both ends of the pair. The telemetry process keeps `far` and `event_fd` alone; the proxy
    keeps both ends, so that records nobody has read yet reach a successor of a telemetry process
    that died.

    `event_fd` is set when what is on the channel should be read at once: see `TelemetryEnd.rest`.
    `lifeline` is held by the telemetry process too, and `alive`, its other end, by the proxy alone:
    see `extension/process.py`. `platform` is where Lambda delivers what the Telemetry API has to
    say (see `ipc/telemetry_port.py`), None if it is not asked; both keep it.
    """

    __slots__ = (
        "_backlog",
        "_in_flight_bytes",
        "_refused",
        "alive",
        "event_fd",
        "far",
        "lifeline",
        "near",
        "platform",
    )

    def __init__(self) -> None:
        self.near, self.far = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self.event_fd = new_event_fd()
        self.alive, self.lifeline = _socket.socketpair()
        self.platform: _socket.socket | None = None
        self.near.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        send = (
            self.near.send
        )  # of the channel itself the backlog must not know: they would keep each other
        self._backlog = Backlog(self.near.fileno(), lambda datagram: send(datagram, _DO_NOT_WAIT))
        self._refused = 0
        self._in_flight_bytes = 0

    @property
    def dropped(self) -> int:
        """Records that nobody will read."""
        return self._refused + self._backlog.lost

    def send_within(self, message: records.Message, wait_ms: int) -> bool:
        """Send one record that is to be read at once, even if the far end has to make room first,
        for which it gets `wait_ms`; where others wait, it waits behind them, however many they are.
        True where it went or will.
        """
        self.event_fd.set()
        if self._backlog.waiting:
            return self._backlog.add(records.encode(message, b""), is_last=True)
        poll = select.poll()
        poll.register(self.near, select.POLLOUT)
        has_gone = bool(poll.poll(wait_ms)) and self.offer(message)
        self.event_fd.set()
        return has_gone

    def fullness(self) -> float:
        """How much of its room is taken up by records that nobody has read: 0 to 1 or a little
        above.
        """
        if self._backlog.waiting:
            return 1.0
        try:
            memory = memoryview(
                self.near.getsockopt(_socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO_BYTES)
            ).cast("I")
        except OSError:
            return 0.0  # a kernel before 4.12
        if len(memory) <= _SEND_LIMIT:
            return 0.0  # emulated by qemu, which gives one number
        return float(memory[_SEND_USED] / memory[_SEND_LIMIT])

    def offer(
        self,
        message: records.Message,
        payload: "bytes | memoryview" = b"",
        rest: "bytes | memoryview" = b"",
    ) -> bool:
        """Send one record, with a payload and the rest of it, or keep it until there is room. If
        too many wait already it is dropped and counted: False.
        """
        backlog = self._backlog
        if not (backlog.waiting or backlog.is_closed):
            try:
                if rest or len(payload) > INLINE_LIMIT_BYTES:
                    self._send(message, (payload, rest))
                else:
                    self.near.send(records.encode(message, payload), _DO_NOT_WAIT)
            except BlockingIOError:
                pass  # it is full, as it is where others wait already
            except OSError:
                self._refused += 1
                return False
            else:
                return True
        if not backlog.is_closed and self._keep(message, (payload, rest)):
            return True
        self._refused += 1
        return False

    def _keep(self, message: records.Message, parts: "tuple[bytes | memoryview, ...]") -> bool:
        """For later; a payload that is too large for a datagram stays behind."""
        self.event_fd.set()
        payload = b"".join(parts) if sum(map(len, parts)) <= _WAITING_LIMIT_BYTES else None
        return self._backlog.add(records.encode(message, payload))

    def _send(self, message: records.Message, parts: "tuple[bytes | memoryview, ...]") -> None:
        """BlockingIOError where there is no room."""
        length = sum(map(len, parts))
        if length <= INLINE_LIMIT_BYTES:
            self.near.send(records.encode(message, b"".join(parts)), _DO_NOT_WAIT)
        elif self.fullness() >= 1.0:
            raise BlockingIOError  # before up to 6 MB are written for nothing
        elif self._in_flight_bytes + length > IN_FLIGHT_LIMIT_BYTES or not self._send_with_memfd(
            message, parts, length
        ):
            self.near.send(records.encode(message, None), _DO_NOT_WAIT)

    def _send_with_memfd(
        self, message: records.Message, parts: "tuple[bytes | memoryview, ...]", length: int
    ) -> bool:
        """False if its payload cannot be passed on: the record is worth more than that."""
        try:
            descriptor = posix.memfd_create("lrap-otel payload", posix.MFD_CLOEXEC)
        except OSError:
            return False  # no descriptor is free
        try:
            if not _is_written(descriptor, parts):
                return False
            rights = (
                _socket.SOL_SOCKET,
                _socket.SCM_RIGHTS,
                descriptor.to_bytes(_ONE_DESCRIPTOR_BYTES, "little"),
            )
            self.near.sendmsg([records.encode(message, length)], [rights], _DO_NOT_WAIT)
        finally:
            posix.close(descriptor)
        self._in_flight_bytes += length
        return True

    def abandon(self) -> None:
        """Nobody will read any more: take nothing further, and let go of the payloads that wait."""
        self._backlog.close()
        if self.platform is not None:
            self.platform.close()
        try:
            while True:
                _, ancillary, _, _ = self.far.recvmsg(
                    0, _socket.CMSG_SPACE(_ONE_DESCRIPTOR_BYTES), _DO_NOT_WAIT
                )
                for _, _, rights in ancillary:
                    posix.close(int.from_bytes(rights[:_ONE_DESCRIPTOR_BYTES], "little"))
        except OSError:
            return  # it is empty

    def release(self, length: int) -> None:
        """A payload of `length` bytes has been read and closed at the far end."""
        self._in_flight_bytes -= length

    def mark_replies(self) -> bool:
        """Put `records.end_of_replies` after the replies that nobody has read yet. False if there
        is no room.
        """
        try:
            self.far.send(records.encode(records.end_of_replies(), None), _DO_NOT_WAIT)
        except OSError:
            return False
        return True

    def receive_reply(self) -> tuple[int, records.Fields]:
        """Wait for the next record that comes back: its kind and fields. ValueError if it is
        malformed; OSError or EOFError once no more can come.
        """
        data = self.near.recv(_DATAGRAM_LIMIT_BYTES)
        if not data:
            raise EOFError
        try:
            kind, fields, _ = records.decode(data)
        except (ValueError, TypeError, EOFError, MemoryError) as error:
            raise ValueError(f"{len(data)} bytes: {error}") from error
        return kind, fields


class TelemetryEnd:
    """The far end, as the telemetry process holds it."""

    __slots__ = ("_event_fd", "_news", "_socket", "_wake_up")

    def __init__(self, far: _socket.socket, event_fd: EventFd | None = None) -> None:
        """Without an event descriptor it never rests."""
        self._socket = far
        self._event_fd = event_fd
        self._news, self._wake_up = select.poll(), select.poll()
        self._news.register(far, select.POLLIN)
        if event_fd is not None:
            self._wake_up.register(event_fd, select.POLLIN)

    def rest(self, limit_ms: int = REST_MS) -> None:
        """If no more has come, wait until several records have, or until the event descriptor is
        set: each time that this process runs, the function that shares its CPU finds a cold cache.
        """
        if self._event_fd is not None and not self._news.poll(0) and self._wake_up.poll(limit_ms):
            self._event_fd.clear()

    def receive(self) -> records.Record | None:
        """Wait for the next record, its payload read whole; None when the proxy process
        has gone.
        """
        data, ancillary, _, _ = self._socket.recvmsg(
            _DATAGRAM_LIMIT_BYTES, _socket.CMSG_SPACE(_ONE_DESCRIPTOR_BYTES)
        )
        if not data:
            return None
        kind, fields, payload = records.decode(data)
        if isinstance(payload, int):
            payload = self._read_memfd(ancillary, payload)
        return records.read(kind, fields, payload)

    def _read_memfd(self, ancillary: list[tuple[int, int, bytes]], length: int) -> bytes | None:
        self.reply(records.released(length))
        for _, _, rights in ancillary:
            descriptor = int.from_bytes(rights[:_ONE_DESCRIPTOR_BYTES], "little")
            try:
                return posix.pread(descriptor, length, 0)
            finally:
                posix.close(descriptor)
        return None

    def reply(self, message: records.Message) -> None:
        """Send one record back. Lost if the proxy process has gone."""
        try:
            self._socket.send(records.encode(message, None), _socket.MSG_NOSIGNAL)
        except OSError:
            return


def _is_written(descriptor: int, parts: "tuple[bytes | memoryview, ...]") -> bool:
    """All of them; False where there is no memory for them, or a limit is in the way."""
    try:
        for part in parts:
            view = memoryview(part)
            while view:
                view = view[posix.write(descriptor, view) :]
    except OSError:
        return False
    return True
