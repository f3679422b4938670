"""Running proxies, one for each set of variables, for as long as there are tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.propagation.live import Live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def live() -> Iterator[Callable[..., Live]]:
    """The proxy with the variables given."""
    proxies: dict[tuple[tuple[str, str], ...], Live] = {}

    def live(**variables: str) -> Live:
        key = tuple(sorted(variables.items()))
        if key not in proxies:
            proxies[key] = Live(**variables)
        return proxies[key]

    yield live
    for proxy in proxies.values():
        proxy.close()
