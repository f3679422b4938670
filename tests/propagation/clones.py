"""Two copies of one initialized proxy, as SnapStart makes them of a snapshot: ``clones.py
UPSTREAM_PORT``.

Prints the ports of both, and ends them with its input.
"""

from __future__ import annotations

import _socket
import os
import signal
import sys

from lrap_otel.proxy.listener import accept_connections
from tests.proxy.conftest import Proxy


def main(upstream_port: int) -> None:
    proxy = Proxy(upstream_port)
    copies = [copy(proxy) for _ in range(2)]
    sys.stdin.read()
    for process_id in copies:
        os.kill(process_id, signal.SIGKILL)
        os.waitpid(process_id, 0)


def copy(proxy: Proxy) -> int:
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(8)
    process_id = os.fork()
    if process_id == 0:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        accept_connections(listener, proxy.sandbox)
    listener.close()
    return process_id


if __name__ == "__main__":
    main(int(sys.argv[1]))
