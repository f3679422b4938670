"""The telemetry process ends with its proxy, whatever it is doing: nobody else would ever continue
one that is stopped.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.extension.extension_process import Extension
from tests.processes import children, command_line, proxies_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def extension() -> Iterator[Extension]:
    extension = Extension()
    yield extension
    extension.close()


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def state(process_id: int) -> str:
    """R, S, T and so on; empty where it has gone, a zombie that nobody has waited for
    yet included.
    """
    try:
        found = (
            Path(f"/proc/{process_id}/stat")
            .read_text(encoding="ascii")
            .rpartition(")")[2]
            .split()[0]
        )
    except OSError:
        return ""
    return "" if found in {"Z", "X"} else found


def telemetry_of(extension: Extension) -> tuple[int, int]:
    """The proxy process and its telemetry process."""
    wait_for(
        lambda: [child for proxy in proxies_of(extension.process.pid) for child in children(proxy)]
    )
    (proxy,) = proxies_of(extension.process.pid)
    (telemetry,) = children(proxy)
    return proxy, telemetry


def stop_and_kill_the_proxy(proxy: int, telemetry: int) -> None:
    os.kill(telemetry, signal.SIGSTOP)
    wait_for(lambda: state(telemetry) == "T")
    os.kill(proxy, signal.SIGKILL)
    wait_for(lambda: not state(telemetry))


def test_one_that_is_stopped_ends(extension: Extension) -> None:
    extension.register()
    proxy, telemetry = telemetry_of(extension)
    stop_and_kill_the_proxy(proxy, telemetry)


def test_a_successor_that_is_stopped_ends(extension: Extension) -> None:
    extension.register()
    proxy, first = telemetry_of(extension)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: children(proxy) and first not in children(proxy))
    (successor,) = children(proxy)
    wait_for(lambda: b"telemetry/__main__.py" in command_line(successor))
    stop_and_kill_the_proxy(proxy, successor)
