"""A child process in a session of its own: its output by line, its end, and the signals that reach
all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from typing import IO, TYPE_CHECKING

from lrap_otel.emulator.log_pipe import VARIABLE, LogPipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lrap_otel.emulator.log_pipe import OnRecord

    OnLine = Callable[[str, str], None]


class Process:
    """Started at once; OSError when it cannot be. ``on_line(name, text)`` gets each line of stdout
    and stderr.

    ``exited`` holds the exit status (negative: the signal), ``closed`` comes when nobody holds its
    stdout and stderr any more.
    ``on_record`` gets each log call of a managed runtime; without it there is no pipe for them.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        on_line: OnLine,
        on_record: OnRecord | None = None,
    ) -> None:
        self.name = name
        self._log_pipe = LogPipe(on_record) if on_record else None
        try:
            self._start(argv, dict(env), cwd)
        except OSError:
            if self._log_pipe:
                self._log_pipe.finish()
            raise
        finally:
            if self._log_pipe:
                self._log_pipe.close_write_end()
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._pipes = [
            _Lines(pipe, name, on_line, self._pipe_closed) for pipe in self._both_pipes()
        ]
        # A thread and not a pidfd: some builds of Python come without os.pidfd_open.
        threading.Thread(target=self._reap, daemon=True).start()

    def _start(self, argv: Sequence[str], env: dict[str, str], cwd: Path) -> None:
        pass_fds: tuple[int, ...] = ()
        if self._log_pipe:
            pass_fds = (self._log_pipe.write_end,)
            env[VARIABLE] = str(self._log_pipe.write_end)
        self._popen = subprocess.Popen(  # noqa: S603 -- running what it is told to run is its purpose
            list(argv),
            env=env,
            cwd=cwd,
            pass_fds=pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def process_id(self) -> int:
        """Of the process itself, which is that of its group."""
        return self._popen.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it to every process of the group; fine if there is none."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, number)

    async def destroy(self) -> None:
        """Kill all of its group, and return once it has been reaped."""
        self.signal(signal.SIGKILL)
        await asyncio.wait([self.exited])
        for pipe in (*self._pipes, self._log_pipe):
            if pipe:
                pipe.finish()

    def _both_pipes(self) -> list[IO[bytes]]:
        return [pipe for pipe in (self._popen.stdout, self._popen.stderr) if pipe]

    def _reap(self) -> None:
        status = self._popen.wait()
        # The loop may have gone with an emulator that was abandoned.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.exited.set_result, status)

    def _pipe_closed(self) -> None:
        if all(pipe.is_closed for pipe in self._pipes):
            self.closed.set_result(None)


class _Lines:
    """One pipe, read as it fills, given on line by line."""

    def __init__(
        self, pipe: IO[bytes], name: str, on_line: OnLine, on_close: Callable[[], None]
    ) -> None:
        self.is_closed = False
        self._pipe = pipe
        self._name = name
        self._on_line = on_line
        self._on_close = on_close
        self._rest = b""
        os.set_blocking(pipe.fileno(), False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(pipe.fileno(), self._read)

    def finish(self) -> None:
        """Read what is there, then close, even if somebody still holds the other end."""
        while not self.is_closed and self._read():
            pass
        if not self.is_closed:
            self._close()

    def _read(self) -> bool:
        try:
            data = os.read(self._pipe.fileno(), 1 << 16)
        except BlockingIOError:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._give(line)
        if not data:
            self._close()
        return bool(data)

    def _close(self) -> None:
        self.is_closed = True
        self._loop.remove_reader(self._pipe.fileno())
        self._pipe.close()
        if self._rest:
            self._give(self._rest)
        self._on_close()

    def _give(self, line: bytes) -> None:
        self._on_line(self._name, line.decode("utf-8", "replace"))
