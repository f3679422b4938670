"""A running proxy that delivers one event after the other: Lambda's reply goes in, the runtime's
event and the record come out.
"""

from __future__ import annotations

import json
from typing import Any

from lrap_otel.ipc import records
from tests.proxy.conftest import Proxy
from tests.proxy.wire import NEXT, event
from tests.upstream import Peer, Upstream, field, lines


class Delivery:
    """One event as the runtime got it, and what was recorded of it."""

    def __init__(self, head: bytes, payload: bytes, record: records.Delivered) -> None:
        self.head = head
        self.payload = payload
        self.record = record
        self.trace_id_hex, self.span_id_hex = record.trace_id_hex, record.span_id_hex
        self.parent_span_id_hex, self.flags, self.state = (
            record.parent_span_id_hex,
            record.trace_flags,
            record.trace_state,
        )

    @property
    def event(self) -> Any:
        return json.loads(self.payload)

    def field(self, name: str) -> str:
        """The value of a head's field; empty where there is none."""
        return (field(self.head, name) or b"").decode("latin-1")

    def fields(self, name: str) -> list[str]:
        """The values of all the head's fields of this name."""
        pairs = [line.partition(b":") for line in lines(self.head)[1:]]
        return [
            value.strip().decode("latin-1")
            for key, _, value in pairs
            if key.lower() == name.encode()
        ]


class Live:
    """A proxy with these variables, one runtime that polls it, and the Runtime API behind it."""

    def __init__(self, **variables: str) -> None:
        self._upstream = Upstream()
        self._proxy = Proxy(self._upstream.port, is_on=True, **variables)
        self._runtime = self._proxy.connect()
        self._api: Peer | None = None
        self._count = 0

    def deliver(self, payload: bytes, fields: dict[str, str] | None = None) -> Delivery:
        """`payload` as the next event, an invocation of its own, with these fields beside Lambda's
        usual ones.
        """
        self._count += 1
        own = "".join(f"{name}: {value}\r\n" for name, value in (fields or {}).items())
        return self.deliver_reply(
            event(b"request-%d" % self._count, payload, own.encode("latin-1"))
        )

    def deliver_reply(self, reply: bytes) -> Delivery:
        """This very reply of Lambda's."""
        self._runtime.send(NEXT)
        if self._api is None:
            self._api = self._upstream.accept()
        self._api.read_head()
        self._api.send(reply)
        head, payload = self._runtime.read_message()
        record = self._proxy.record()
        assert isinstance(record, records.Delivered)
        return Delivery(head, payload, record)

    def close(self) -> None:
        self._proxy.close()
        self._upstream.close()
