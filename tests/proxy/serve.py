"""The proxy in a process of its own: ``serve.py UPSTREAM_PORT [MOST_DESCRIPTORS]`` prints its port
and serves.
"""

from __future__ import annotations

import _socket
import resource
import sys

from lrap_otel.ipc.channel import Channel
from lrap_otel.propagation.carrier.learned import EventTemplates
from lrap_otel.proxy.learned_heads import HeadTemplates
from lrap_otel.proxy.listener import accept_connections
from lrap_otel.proxy.shared_state import SharedState
from lrap_otel.proxy.tracer import Tracer
from lrap_otel.proxy.upstream import Upstream
from lrap_otel.sandbox.invocations import Invocations
from lrap_otel.settings import Settings
from lrap_otel.text.learning import PatternCompiler

# The templates of the proxy that runs in this process.
made: list[tuple[HeadTemplates, EventTemplates]] = []


def main(upstream_port: int, most_descriptors: int) -> None:
    if most_descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most_descriptors, most_descriptors))
    settings = Settings({})
    invocations = Invocations()
    compiler = PatternCompiler()
    heads, events = HeadTemplates(compiler), EventTemplates(compiler)
    made.append((heads, events))
    sandbox = SharedState(
        Upstream(("127.0.0.1", upstream_port)),
        invocations,
        Channel(),
        Tracer(settings, invocations, events),
        heads,
        is_managed_instances=False,
    )
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1_024)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    accept_connections(listener, sandbox)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
