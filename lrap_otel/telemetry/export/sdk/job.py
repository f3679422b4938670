"""A call of code that may take for ever, in a thread of its own."""

from __future__ import annotations

import _socket
import _thread
import logging
import select
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.telemetry.export.deadline import Deadline


class _LastLines(logging.Handler):
    """What each thread has logged last: exporters say so why they failed, and nowhere else."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.by_thread: dict[int, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.by_thread[record.thread or 0] = record.getMessage()
        except Exception:  # noqa: BLE001 - a line whose arguments do not fit its text
            self.by_thread.pop(record.thread or 0, None)


_lines = _LastLines()
# This process has no output for any handler of theirs.
logging.getLogger().addHandler(_lines)


class Job:
    """`call`, running. RuntimeError or OSError if no thread, or no descriptor, can be had.

    Once `wait` has said that it is over: what it returned is `result`, what it raised is `error`,
    and `line` is the last warning or error that it logged, or empty. If it is never over, its
    thread is abandoned: this process ends without waiting for it.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.line = ""
        self._near, self._far = _socket.socketpair()
        try:
            _thread.start_new_thread(self._run, (call,))
        except RuntimeError:
            self._near.close()
            self._far.close()
            raise

    def wait(self, deadline: Deadline) -> bool:
        """Whether it is over, at the latest at `deadline`."""
        try:
            deadline.wait(self._near, select.POLLIN)
        except TimeoutError:
            return False
        return True

    def _run(self, call: Callable[[], Any]) -> None:
        try:
            self.result = call()
        except BaseException as error:  # noqa: BLE001 - SystemExit too: it would end this thread in silence
            self.error = error
        self.line = _lines.by_thread.pop(_thread.get_ident(), "")
        self._far.close()
