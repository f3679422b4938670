"""Starts a telemetry process in the place of one that died.

By `posix_spawn`, never by a fork: threads exist by now, and a lock that one of them holds would stay locked in the child.
"""

import posix
import sys

from lrap_otel.ipc import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.ipc.channel import Channel

_ROOT = __file__.rpartition("/lrap_otel/")[0]
_STDIN, _STDOUT, _LIFELINE, _PLATFORM = 0, 1, 3, 4


def start(channel: "Channel", earlier: "Sequence[records.Message]") -> int:
    """Its process id; OSError where it cannot be started.

    It reads `earlier` first, then what is on the channel.
    """
    script = f"{_ROOT}/lrap_otel/telemetry/__main__.py"
    passed = [
        (posix.POSIX_SPAWN_DUP2, channel.far.fileno(), _STDIN),
        (posix.POSIX_SPAWN_DUP2, channel.event_fd.fileno(), _STDOUT),
        (posix.POSIX_SPAWN_DUP2, channel.lifeline.fileno(), _LIFELINE),
    ]
    if channel.platform is not None:
        passed.append((posix.POSIX_SPAWN_DUP2, channel.platform.fileno(), _PLATFORM))
    again = [records.encode(message, None).hex() for message in earlier]
    return posix.posix_spawn(
        "/proc/self/exe",
        [*_interpreter(), "-I", "-S", "-X", "utf8", script, _ROOT, *again],
        posix.environ,
        file_actions=passed,
    )


def _interpreter() -> list[str]:
    """How this interpreter was started, by itself or through a loader of its own (``ld-linux.so.2 ... python3``)."""
    with open("/proc/self/cmdline", "rb") as file:
        started = file.read().decode("utf-8", "surrogateescape").split("\0")[:-1]
    return started[: len(started) - len(sys.orig_argv) + 1]
