"""Whether the runtime lives is asked of the process that was the wrapper, and of no other."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lrap_otel.sandbox import runtime_process

if TYPE_CHECKING:
    from pathlib import Path


def start_as_wrapper(folder: Path, name: str = "wrapper") -> subprocess.Popen[bytes]:
    """A process whose command line ends as the wrapper's does, with a name that is hard to read."""
    interpreter = folder / "a) Z (b"
    shutil.copy(sys._base_executable, interpreter)  # type: ignore[attr-defined]
    script = folder / name
    script.write_text("import time\nprint('here', flush=True)\ntime.sleep(60)\n")
    environment = {**os.environ, "PYTHONHOME": sys.base_prefix}
    process = subprocess.Popen(
        [interpreter, script, "runtime"], stdout=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process


def test_a_wrapper_lives_until_it_has_ended_even_if_nobody_has_waited_for_it(
    tmp_path: Path,
) -> None:
    process = start_as_wrapper(tmp_path)
    lives = runtime_process.watched(str(process.pid).encode())
    assert lives is not None
    assert lives()
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not lives()
    process.wait()
    assert not lives()


@pytest.mark.parametrize(
    "process_id",
    [b"", b"x", b"-1", b"99999999999", b"4194999", str(os.getpid()).encode(), b"1/../self"],
)
def test_what_is_not_the_wrapper_is_not_watched(process_id: bytes) -> None:
    assert runtime_process.watched(process_id) is None


def test_a_wrapper_of_another_name_is_known_by_what_it_says_of_itself(tmp_path: Path) -> None:
    process = start_as_wrapper(tmp_path, "lrap")
    process_id = str(process.pid).encode()
    assert runtime_process.watched(process_id) is None
    assert runtime_process.watched(process_id, b"rap") is None
    assert runtime_process.watched(process_id, bytes(tmp_path / "other")) is None
    lives = runtime_process.watched(process_id, bytes(tmp_path / "lrap"))
    assert lives is not None
    assert lives()
    process.kill()
    process.wait()
    assert not lives()
