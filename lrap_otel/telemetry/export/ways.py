"""The ways out: for each signal what receives it, and what makes its requests.

What few ask for is loaded only then.
"""

from lrap_otel.telemetry.export import encode
from lrap_otel.telemetry.export.endpoint import Endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol

    from lrap_otel.telemetry.export.deadline import Deadline
    from lrap_otel.telemetry.export.endpoint import Answer, TlsByFiles
    from lrap_otel.telemetry.otlp.metrics import MetricsData
    from lrap_otel.telemetry.otlp.traces import Span
    from lrap_otel.telemetry.otlp.wire import Resource
    from lrap_otel.telemetry.settings import ExportSettings, SignalSettings
    from lrap_otel.telemetry.url import Url

    class Receiver(Protocol):
        """As `Endpoint`; `post` takes what the codec beside it makes."""

        @property
        def url(self) -> Url | str: ...
        @property
        def apart_s(self) -> float: ...
        def post(self, body: Any, deadline: Deadline, *, may_repeat: bool) -> Answer: ...
        def close(self) -> None: ...
        def forget(self) -> None: ...

    class Codec(Protocol):
        """As the module `encode`."""

        STORED_AS: str

        def span(self, of: Span, /) -> Any: ...
        def size(self, of: Span, encoded: Any, /) -> int: ...
        def stored(self, encoded: Any, /) -> bytes: ...
        def restored(self, data: bytes, /) -> Any: ...
        def spans_request(self, resource: Resource, encoded: Sequence[Any], /) -> Any: ...
        def metrics_request(self, data: MetricsData, /) -> Any: ...
        def rejected(self, response: bytes, /) -> int: ...

    Way = tuple[Receiver, Codec]

TRACES = "traces"
METRICS = "metrics"


class Ways:
    """Makes them. What several of them use is made once."""

    def __init__(self, settings: "ExportSettings", warn: "Callable[[str], None]") -> None:
        """`warn` takes a line for people."""
        self._settings = settings
        self._warn = warn
        self._tls: TlsByFiles = {}

    def by_otlp(self, name: str) -> "Way | None":
        """Our own exporter for the signal `name`; None if it is not asked for, or cannot be had with these settings."""
        own = self._settings.traces if name == TRACES else self._settings.metrics
        if not own.enabled:
            return None
        try:
            return self._endpoint(own), _codec(own)
        except (ValueError, OSError) as error:
            self._warn(f"{name} cannot be exported with these settings: {error}")
            return None

    def _endpoint(self, own: "SignalSettings") -> Endpoint:
        return Endpoint(own, self._settings.network, self._tls)


def _codec(own: "SignalSettings") -> "Codec":
    if not own.is_json:
        return encode
    from lrap_otel.telemetry.export import encode_json  # noqa: PLC0415 - few ask for it

    return encode_json
