"""A fresh telemetry process in the place of one that died: a script, started by its path.

``succeed.py ROOT DEPENDENCIES RECORD...``, the channel's far end as stdin. What the one before has been told about the
sandbox comes again, as hex, before what is on the channel.
"""

import _socket
import posix
import sys

Received = tuple[bytes, list[tuple[int, int, bytes]], int, object]


class FarEnd(_socket.socket):
    """The far end of the channel, on which `told` comes first."""

    told: list[bytes]

    def recvmsg(self, *sizes: int) -> Received:
        """As a socket's, of which nothing is read before `told` is used up."""
        return (self.told.pop(0), [], 0, None) if self.told else super().recvmsg(*sizes)


if __name__ == "__main__":
    root, dependencies, *told = sys.argv[1:]
    sys.path[0] = root  # not this file's folder, whose modules would be found by shorter names
    from lrap_otel.telemetry.worker import run

    far = FarEnd(fileno=posix.dup(0))
    far.told = [bytes.fromhex(record) for record in told]
    run(far, posix.environ, dependencies)
