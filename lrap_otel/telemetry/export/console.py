"""OTLP as lines of JSON in the function's log, without any network.

The telemetry process has no output of its own: the lines go back to the proxy, which prints them.
"""

from lrap_otel.telemetry.export import encode_json
from lrap_otel.telemetry.export.endpoint import ACCEPTED, Answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.telemetry.export.deadline import Deadline

# Of a line that is longer: what goes over the channel at once.
_PART_BYTES = 32_768


class ConsoleCodec:
    """As the module `encode_json`, but no file: what has been printed cannot be lost."""

    STORED_AS = ""
    span = staticmethod(encode_json.span)
    size = staticmethod(encode_json.size)
    spans_request = staticmethod(encode_json.spans_request)
    metrics_request = staticmethod(encode_json.metrics_request)
    rejected = staticmethod(encode_json.rejected)


class Console:
    """Prints one line for each request. Nobody says whether it has been read."""

    url = "the log"
    apart_s = 0.0
    # A line of CloudWatch's may have 256 KB; JSON is up to twice what is counted here.
    max_batch_bytes = 100_000

    def __init__(self, print_out: "Callable[[str], None]") -> None:
        """`print_out` takes a part of a line."""
        self._print_out = print_out

    def post(self, body: bytes, deadline: "Deadline", *, may_repeat: bool) -> Answer:  # noqa: ARG002 - it never waits
        """Print a request that `encode_json` has made."""
        line = body.decode("ascii") + "\n"
        for start in range(0, len(line), _PART_BYTES):
            self._print_out(line[start : start + _PART_BYTES])
        return Answer(ACCEPTED)

    def close(self) -> None:
        """Nothing: there is no connection."""

    def forget(self) -> None:
        """Nothing: there is no connection."""
