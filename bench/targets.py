"""What a round goes through: nothing, the floor, ours and other proxies.

Each is a command that finds the Runtime API in AWS_LAMBDA_RUNTIME_API and its own port in
LRAP_LISTENER_PORT.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.compiled import BuildError, pooled, program

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
LAYER = ROOT / "build/opt"
DIRECT, FLOOR, OURS, PEER = "direct", "relay", "ours", "peer"


@dataclass(frozen=True)
class Target:
    """A way from the client to the upstream; `traces` says that every event is to bring a span and
    a traceparent.
    """

    name: str
    command: tuple[str, ...] = ()
    traces: bool = False
    registers: bool = False


def chosen(names: tuple[str, ...] = (), peer: str = "") -> list[Target]:
    """The targets of these names, or all, in the order of a round; one that cannot be had is left
    out, and said so.

    `peer` is the command line of one more.
    """
    makers = _MAKERS | ({PEER: lambda: Target(PEER, tuple(shlex.split(peer)))} if peer else {})
    found = [_made(name, makers[name]) for name in makers if not names or name in (*names, PEER)]
    return [target for target in found if target]


def ours() -> Target:
    """The extension of this checkout, as Lambda starts it."""
    entrypoint = ROOT / "opt/entrypoint"
    if not entrypoint.exists():
        raise BuildError(f"{entrypoint.relative_to(ROOT)} does not exist")
    return Target(OURS, (str(entrypoint),), traces=True, registers=True)


def ours_in_a_layer() -> Target:
    """The extension of the layer that `make layer` has built, with the layer's interpreter."""
    entrypoint = LAYER / "extensions/lrap-otel"
    if not entrypoint.exists():
        raise BuildError(f"{LAYER.relative_to(ROOT)} does not exist: run `make layer`")
    return Target("layer", (str(entrypoint),), traces=True, registers=True)


def aiohttp_proxy() -> Target:
    """The plain aiohttp proxy with the SDK in its process."""
    return Target(
        "aiohttp", (sys.executable, str(ROOT / "bench/peers/aiohttp_proxy.py")), traces=True
    )


_MAKERS: dict[str, Callable[[], Target]] = {
    DIRECT: lambda: Target(DIRECT),
    FLOOR: lambda: Target(FLOOR, (str(program("relay")),)),
    "pooled": lambda: Target("pooled", (str(pooled()),)),
    "aiohttp": aiohttp_proxy,
    OURS: ours,
}
NAMES = tuple(_MAKERS)


def _made(name: str, make: Callable[[], Target]) -> Target | None:
    try:
        return make()
    except BuildError as error:
        print(f"{name} is left out: {error}", file=sys.stderr)
        return None
