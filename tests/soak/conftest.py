"""Each case waits for minutes, so all begin at once, each in a thread of its own; a test is the end
of its case.

A case is marked with how long it waits at full length; ``--seconds`` shortens what is longer than
that. The cases run only where this folder is named: ``pytest tests/soak``.
"""

from __future__ import annotations

import concurrent.futures
import math
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HERE = Path(__file__).resolve().parent
# What a case needs besides waiting, on a slow machine: processes start, the SDK is imported.
_GRACE_S = 120.0
_REPORTS = 20


class Begun:
    """All cases, by the ids of their tests, since `began_s`."""

    def __init__(self, cases: dict[str, Future[None]]) -> None:
        self.cases = cases
        self.began_s = time.monotonic()

    def __str__(self) -> str:
        waiting = sum(not case.done() for case in self.cases.values())
        return (
            f"{time.monotonic() - self.began_s:5.0f} s, {waiting} of {len(self.cases)} cases wait"
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seconds", type=float, default=math.inf, help="the longest that a case may wait"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "waits(seconds): how long a case waits at full length")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    is_named = any(
        Path(argument.partition("::")[0]).resolve().is_relative_to(_HERE)
        for argument in config.args
    )
    return None if is_named else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The shortest ends first."""
    items.sort(key=_length_s)
    for item in items:
        if _is_case(item):
            item.add_marker(pytest.mark.timeout(_length_s(item) + _GRACE_S))


@pytest.fixture(scope="session", autouse=True)
def begun(request: pytest.FixtureRequest) -> Iterator[Begun]:
    """Every case that was chosen begins now."""
    items = [
        item
        for item in request.session.items
        if isinstance(item, pytest.Function) and _is_case(item)
    ]
    with ThreadPoolExecutor(len(items)) as threads:
        yield Begun({item.nodeid: threads.submit(_case(item), _length_s(item)) for item in items})


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> float:
    """How long the case waits."""
    return _length_s(request.node)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """Instead of a call: wait until the case has ended, and raise what it raised."""
    begun = cast("Begun", pyfuncitem.funcargs["begun"])
    case = begun.cases[pyfuncitem.nodeid]
    capture = pyfuncitem.config.pluginmanager.getplugin("capturemanager")
    report_s = max(1.0, _length_s(pyfuncitem) / _REPORTS)
    while not case.done():
        concurrent.futures.wait([case], report_s)
        with capture.global_and_fixture_disabled():
            sys.stdout.write(f"\n{begun}")
            sys.stdout.flush()
    case.result()
    return True


def _case(item: pytest.Function) -> Callable[[float], None]:
    case: Callable[[float], None] = item.obj
    return case


def _is_case(item: pytest.Item) -> bool:
    return item.get_closest_marker("waits") is not None


def _length_s(item: pytest.Item) -> float:
    marker = item.get_closest_marker("waits")
    return float(min(marker.args[0], item.config.getoption("--seconds"))) if marker else 0.0
