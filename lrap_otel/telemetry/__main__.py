"""A fresh telemetry process in the place of one that died: a script, started by its path.

``telemetry/__main__.py ROOT RECORD...``, with the channel's far end as stdin, its event_fd as
stdout and its lifeline as descriptor 3 and, if there is one, the Telemetry API's port as 4. Each
RECORD is in hex: one about the sandbox that the process before has had. They come again, before
what is on the channel.
"""

import _socket
import posix
import sys

if __name__ == "__main__":
    # Before anything takes time or memory: the process before may have died for want of memory, and
    # the function must not.
    try:
        posix.nice(19)
        score = posix.open("/proc/self/oom_score_adj", posix.O_WRONLY)
        posix.write(score, b"1000")
        posix.close(score)
    except OSError:
        pass

Received = tuple[bytes, list[tuple[int, int, bytes]], int, object]


class FarEnd(_socket.socket):
    """The far end of the channel, with the `earlier` records before what is on it."""

    earlier: list[bytes]

    def recvmsg(self, *sizes: int) -> Received:
        """As a socket's, once each of the `earlier` records has been returned."""
        return (self.earlier.pop(0), [], 0, None) if self.earlier else super().recvmsg(*sizes)


def platform_port() -> _socket.socket | None:
    """Where Lambda delivers the Telemetry API's events; None if it was not passed on."""
    try:
        return _socket.socket(fileno=posix.dup(4))
    except OSError:
        return None


if __name__ == "__main__":
    root, *earlier = sys.argv[1:]
    sys.path.insert(0, root)
    from lrap_otel.bundle import load

    load("start")
    load("telemetry")
    from lrap_otel.ipc.event_fd import EventFd
    from lrap_otel.telemetry.worker import run

    far = FarEnd(fileno=posix.dup(0))
    far.earlier = [bytes.fromhex(record) for record in earlier]
    run(far, EventFd(posix.dup(1)), posix.environ, platform_port())
    posix._exit(0)  # noqa: SLF001 - as the proxy does: threads are left, and taking an interpreter apart takes time
