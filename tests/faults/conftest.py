"""The certificates of the matrix's collectors, and its table at the end of the run."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.faults.table import OUTCOMES, WHOLE, lines

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Files with a key and its certificate each: for 127.0.0.1, and another."""
    folder = tmp_path_factory.mktemp("certificates")
    right, another = (certificate(folder / name) for name in ("right", "another"))
    return right, another


def certificate(path: Path) -> str:
    new = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    )
    what = ("-days", "2", "-subj", "/CN=collector", "-addext", "subjectAltName=IP:127.0.0.1")
    key = path.with_suffix(".key")
    subprocess.run([*new, *what, "-keyout", key, "-out", path], check=True, capture_output=True)
    path.write_bytes(key.read_bytes() + path.read_bytes())
    return str(path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if OUTCOMES or WHOLE:
        terminalreporter.section("fault matrix: spans of invocations whose event was delivered")
        for line in lines():
            terminalreporter.line(line)
