"""What the proxy process knows of its telemetry process."""

from lrap_otel.sandbox.condition import Condition


class TelemetryState:
    """`is_alive`: there is one, or another will be started. `is_ready`: it has loaded everything.
    `starts`: how many have been started. `condition` is notified of each change, and of each flush
    that was answered.
    """

    __slots__ = ("condition", "is_alive", "is_ready", "starts")

    def __init__(self) -> None:
        self.condition = Condition()
        self.is_alive = True
        self.is_ready = False
        self.starts = 0
