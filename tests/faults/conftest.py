"""The certificates of the matrix's collectors, and its table at the end of the run."""

from __future__ import annotations

import pytest

from tests.certificates import write_certificate
from tests.faults.table import OUTCOMES, WHOLE, lines


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Files with a key and its certificate each: for 127.0.0.1, and another."""
    folder = tmp_path_factory.mktemp("certificates")
    names = (folder / "right.pem", folder / "another.pem")
    right, another = (str(write_certificate(name, "IP:127.0.0.1")) for name in names)
    return right, another


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if OUTCOMES or WHOLE:
        terminalreporter.section("fault matrix: spans of invocations whose event was delivered")
        for line in lines():
            terminalreporter.line(line)
