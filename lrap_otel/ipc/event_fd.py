"""An eventfd: one thread or process wakes another that waits in `poll`."""

import posix
import select


class EventFd:
    """Readable from `set` until `clear`."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __del__(self) -> None:
        posix.close(self._descriptor)

    def fileno(self) -> int:
        """For `poll`."""
        return self._descriptor

    def set(self) -> None:
        """Wake every thread that polls it, now or later."""
        try:
            posix.eventfd_write(self._descriptor, 1)
        except BlockingIOError:
            return  # its counter is full: it is set already

    def is_set(self) -> bool:
        """Return whether it is set, without clearing it."""
        poll = select.poll()
        poll.register(self, select.POLLIN)
        return bool(poll.poll(0))

    def clear(self) -> bool:
        """Clear it. False if it was not set, or another thread has cleared it first."""
        try:
            posix.eventfd_read(self._descriptor)
        except BlockingIOError:
            return False
        return True


def new_event_fd() -> EventFd:
    """Make one that is not set and not inherited. OSError if no descriptor is free."""
    return EventFd(posix.eventfd(0, posix.EFD_CLOEXEC | posix.EFD_NONBLOCK))
