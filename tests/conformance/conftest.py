"""Each client is a parameter with a marker of its own: ``-m "go or rust"`` chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance import builds, clients
from tests.conformance.matrix import Matrix

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.clients import Client

# A build's first run fetches and compiles everything.
BUILD_TIMEOUT_S = 1800

matrix = Matrix()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever has to be built first gets the time for it."""
    for item in items:
        if any(
            item.get_closest_marker(name) and not builds.is_ready(name) for name in builds.BUILDS
        ):
            item.add_marker(pytest.mark.timeout(BUILD_TIMEOUT_S))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A failed set-up, which is a build that failed, counts as well."""
    if report.when == "call" or report.failed:
        matrix.add(report.nodeid, is_good=report.passed)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Every case with every client, at the end of the run."""
    for line in matrix.lines():
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def client(request: pytest.FixtureRequest) -> Client:
    """The one that the test names with ``clients.each``."""
    return clients.client(request.param)


@pytest.fixture(scope="session")
def collector() -> Path:
    """The collector's executable."""
    return builds.built("collector") / "otelcol"
