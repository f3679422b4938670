"""What goes wrong between two HTTP/1.1 peers, and whose fault it is."""

# The peers of a message: who sends requests, and who answers them.
CLIENT, SERVER = "client", "server"


class LocalProtocolError(Exception):
    """We were about to do what HTTP/1.1 does not allow. The bug is ours; no peer is to blame."""


class RemoteProtocolError(Exception):
    """`peer`, `CLIENT` or `SERVER`, sent what HTTP/1.1 does not allow.

    `status` is what a server answers to such a request.
    """

    def __init__(self, peer: str, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.peer = peer
        self.status = status


class DisconnectedError(Exception):
    """`peer`, `CLIENT` or `SERVER`, went away in the middle of a message."""

    def __init__(self, peer: str, text: str) -> None:
        super().__init__(text)
        self.peer = peer
