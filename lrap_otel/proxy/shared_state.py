"""What all connections of the runtime share."""

from lrap_otel.ipc import records
from lrap_otel.proxy.polls import Polls
from lrap_otel.proxy.recorder import Recorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.handshake import Hello
    from lrap_otel.ipc.channel import Channel
    from lrap_otel.proxy.learned_heads import HeadTemplates
    from lrap_otel.proxy.tracer import Tracer
    from lrap_otel.proxy.upstream import Upstream
    from lrap_otel.sandbox.invocations import Invocations

# The wrapper's fields, in the order of `records.runtime`.
HAND_OVER = (b"lrap-log-group", b"lrap-log-stream", b"lrap-execution-env", b"lrap-handler")


class SharedState:
    """One for each proxy. `channel` and `tracer` are None if telemetry is off."""

    __slots__ = (
        "heads",
        "invocations",
        "is_managed_instances",
        "polls",
        "recorder",
        "tracer",
        "upstream",
    )

    def __init__(
        self,
        upstream: "Upstream",
        invocations: "Invocations",
        channel: "Channel | None",
        tracer: "Tracer | None",
        heads: "HeadTemplates",
        *,
        is_managed_instances: bool,
    ) -> None:
        self.upstream = upstream
        self.invocations = invocations
        self.tracer = tracer
        self.is_managed_instances = is_managed_instances
        self.heads = heads
        self.polls = Polls(has_workers=is_managed_instances)
        self.recorder = Recorder(invocations, channel)

    def meet_runtime(self, hello: "Hello") -> None:
        """Record what the wrapper handed over, and remember how to see whether the
        runtime lives.
        """
        handed_over = [hello.fields.get(name, b"").decode("utf-8", "replace") for name in HAND_OVER]
        self.recorder.offer_and_keep(records.runtime(*handed_over))
        if hello.lives is not None:
            self.invocations.know_runtime(hello.lives)
