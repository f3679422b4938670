"""The pipe that managed runtimes write log calls to, each as one frame, so that a record with many
lines stays one.

Source: AWS's runtime clients (``_LAMBDA_TELEMETRY_LOG_FD``): type, length (4 bytes each), time in
microseconds (8 bytes), the text; big-endian.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    # A text and when it was written, in Unix seconds.
    OnRecord = Callable[[str, float], None]

VARIABLE = "_LAMBDA_TELEMETRY_LOG_FD"
HEAD_BYTES = 16
FRAME_MARK = b"\xa5\x5a"
MAX_FRAME_BYTES = 16 * 1024 * 1024


class LogPipe:
    """``write_end`` is for one child process, by the number it has here; `close_write_end` once it
    has been started.
    """

    def __init__(self, on_record: OnRecord) -> None:
        self._on_record = on_record
        self._read_end, self.write_end = os.pipe()
        self._rest = b""
        os.set_blocking(self._read_end, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._read_end, self._read)

    def close_write_end(self) -> None:
        """The child has its own copy."""
        os.close(self.write_end)

    def finish(self) -> None:
        """Read what is there, then close, even if somebody still holds the other end."""
        while self._read_end >= 0 and self._read():
            pass
        self._close()

    def _read(self) -> bool:
        try:
            data = os.read(self._read_end, 1 << 16)
        except BlockingIOError:
            return False
        self._rest += data
        while (end := self._frame_end()) and len(self._rest) >= end:
            at_s = int.from_bytes(self._rest[8:HEAD_BYTES], "big") / 1e6
            self._on_record(self._rest[HEAD_BYTES:end].decode("utf-8", "replace"), at_s)
            self._rest = self._rest[end:]
        if not data:
            self._close()
        return bool(data)

    def _frame_end(self) -> int:
        """The end of the first frame; 0 if its head has not come yet. Bytes that are no frame are
        dropped.
        """
        if len(self._rest) < HEAD_BYTES:
            return 0
        length = int.from_bytes(self._rest[4:8], "big")
        if self._rest[:2] != FRAME_MARK or length > MAX_FRAME_BYTES:
            self._rest = b""
            return 0
        return HEAD_BYTES + length

    def _close(self) -> None:
        if self._read_end >= 0:
            self._loop.remove_reader(self._read_end)
            os.close(self._read_end)
            self._read_end = -1
