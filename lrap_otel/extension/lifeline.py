"""How a telemetry process ends with its proxy even while it is stopped, and cannot see that the
channel has ended.
"""

import fcntl
import posix
from _signal import SIGCONT  # type: ignore[import-not-found]  # the C part of `signal`, which costs 5 ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket


def tie(process_id: int, lifeline: "_socket.socket") -> None:
    """Have the kernel continue a process that holds `lifeline` when the other end closes, as it
    does when we are killed. Then the process reads the channel's end. To one that runs, SIGCONT
    does nothing.

    Nothing may ever be sent on `lifeline`. Source: fcntl(2), "Managing signals".
    """
    try:
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, process_id)
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, SIGCONT)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | posix.O_ASYNC)
    except OSError:
        return  # it has ended already
