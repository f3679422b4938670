"""A word from one thread or process to another that waits in `poll`."""

import posix
import select


class Bell:
    """An eventfd: readable from when somebody rings until somebody hears it."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __del__(self) -> None:
        posix.close(self._descriptor)

    def fileno(self) -> int:
        """For `poll`."""
        return self._descriptor

    def ring(self) -> None:
        """Whoever waits, or will wait, wakes."""
        try:
            posix.eventfd_write(self._descriptor, 1)
        except BlockingIOError:
            return  # it rings already

    def rings(self) -> bool:
        """Whether it rings, and goes on to."""
        poll = select.poll()
        poll.register(self, select.POLLIN)
        return bool(poll.poll(0))

    def hear(self) -> bool:
        """Whether it rang; from now on it does not."""
        try:
            posix.eventfd_read(self._descriptor)
        except BlockingIOError:
            return False  # it did not, or another has heard it
        return True


def new_bell() -> Bell:
    """OSError where no descriptor is free."""
    return Bell(posix.eventfd(0, posix.EFD_CLOEXEC | posix.EFD_NONBLOCK))
