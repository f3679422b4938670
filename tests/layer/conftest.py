"""The layer, once for all tests, and roots to run it in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from opt.layer.sources import ARCHITECTURES
from tests.layer import builds, empty_root

if TYPE_CHECKING:
    from pathlib import Path

    from tests.layer.empty_root import EmptyRoot

# Everything is fetched for the first build, and emulation takes its time.
TIMEOUT_S = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test waits for the build."""
    for item in items:
        item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="session")
def built() -> Path:
    """The folder that `make image` wrote."""
    return builds.built()


@pytest.fixture(scope="session", params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> str:
    """Each one that the layer is for: one of them runs here, the other under emulation."""
    return str(request.param)


@pytest.fixture
def root(architecture: str, built: Path, tmp_path: Path) -> EmptyRoot:
    """An empty root with the layer, its /opt from the zip."""
    assert os.geteuid() == 0, "a root of its own takes root: run `make check-layer` as root"
    tmp_path.chmod(0o755)
    return empty_root.make(tmp_path, built / "lrap-otel.zip", architecture)
