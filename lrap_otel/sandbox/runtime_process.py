"""Is the runtime's process still there? It tells a crash from a connection that only ended.

``/proc`` and not a pidfd: some builds of Python come without `pidfd_open`.
"""

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PID_DIGITS = 10
# The states of a process that has ended: zombie, dead.
_ENDED = (b"Z", b"X")


def watched(process_id: bytes, script: bytes = b"") -> "Callable[[], bool] | None":
    """A function that tells whether this process lives; None where it is not the wrapper that asks,
    seen from here.

    The wrapper and the extension may not share their process ids: then the number says nothing.
    `script` is what the wrapper was started as, which stands in its command line; empty where it
    does not say: then its name ends so.
    """
    if not process_id.isdigit() or len(process_id) > _PID_DIGITS:
        return None
    folder = f"/proc/{int(process_id)}"
    sought = b"\0" + script + b"\0" if script else b"wrapper\0"
    if sought not in b"\0" + _read(f"{folder}/cmdline"):
        return None
    return lambda: _lives(folder)


def _lives(folder: str) -> bool:
    # "pid (name) state ...", and a name may hold anything, parentheses too.
    _, _, rest = _read(f"{folder}/stat").rpartition(b") ")
    return bool(rest) and not rest.startswith(_ENDED)


def _read(path: str) -> bytes:
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return posix.read(descriptor, 4_096)
    except OSError:
        return b""
    finally:
        posix.close(descriptor)
