"""The port to which Lambda delivers the Telemetry API's events."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from lrap_otel.ipc.telemetry_port import open_port

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("table", "address"),
    [
        ("127.0.0.3 sandbox.localdomain\n", "127.0.0.3"),
        ("127.0.0.1 localhost\n127.0.0.3\tsandbox sandbox.localdomain # ours\n", "127.0.0.3"),
        # Of another machine: a name that cannot be bound.
        ("192.0.2.1 sandbox.localdomain\n", "127.0.0.2"),
        ("::1 sandbox.localdomain\n", "127.0.0.2"),
        ("# 127.0.0.3 sandbox.localdomain\n", "127.0.0.2"),
        ("127.0.0.3 sandbox.localdomain.example.com\n", "127.0.0.2"),
        ("\n\xff\n", "127.0.0.2"),
        ("", "127.0.0.2"),
    ],
)
def test_it_listens_where_the_sandboxs_name_leads(tmp_path: Path, table: str, address: str) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_bytes(table.encode("latin-1"))
    listener = open_port("127.0.0.2", str(hosts))
    assert listener is not None
    assert listener.getsockname()[0] == address
    listener.close()


def test_without_an_address_there_is_no_port() -> None:
    assert open_port("192.0.2.1") is None


def test_100_deliveries_wait_while_nobody_accepts() -> None:
    port = open_port("127.0.0.1")
    assert port is not None
    with contextlib.ExitStack() as open_sockets:
        open_sockets.callback(port.close)
        for _ in range(100):
            delivery = socket.create_connection(port.getsockname(), timeout=5)
            open_sockets.enter_context(delivery)
            delivery.sendall(b"POST / HTTP/1.1\r\n")
