"""The ways out: for each signal what receives it, and what makes its requests.

Code that few settings need is loaded only for them.
"""

from lrap_otel.telemetry.export import encode
from lrap_otel.telemetry.export.endpoint import Endpoint
from lrap_otel.telemetry.url import Url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.telemetry.export.aws.secrets import Secrets
    from lrap_otel.telemetry.export.endpoint import TlsByFiles
    from lrap_otel.telemetry.export.roles import Codec, Receiver, Way
    from lrap_otel.telemetry.settings import ExportSettings, SignalSettings

# Cheaper than loading what knows the hosts.
_AWS_DOMAINS = ("amazonaws.com", ".api.aws")
TRACES = "traces"
METRICS = "metrics"
LOGS = "logs"


class Ways:
    """Makes them. What several of them use is made once."""

    def __init__(
        self,
        settings: "ExportSettings",
        warn: "Callable[[str], None]",
        print_out: "Callable[[str], None]",
    ) -> None:
        """`warn` takes a line for people, `print_out` a part of a line for the function's log."""
        self._settings = settings
        self._warn = warn
        self._print_out = print_out
        self._tls: TlsByFiles = {}
        self._known_secrets: Secrets | None = None

    def of(self, name: str) -> "list[Way]":
        """Those of the signal `name` that are asked for and can be had with these settings."""
        own = self._settings.traces if name == TRACES else self._settings.metrics
        by_otlp = self._by_otlp(name, own) if own.enabled else None
        return [*([by_otlp] if by_otlp else []), *([self._by_console()] if own.has_console else [])]

    def of_logs(self) -> "Way | None":
        """That of log records, which go one way alone; None if they are not sent, or cannot be with
        these settings.
        """
        return self._by_otlp(LOGS, self._settings.logs) if self._settings.logs.enabled else None

    def _by_otlp(self, name: str, own: "SignalSettings") -> "Way | None":
        try:
            return self._receiver(own), self._codec(own)
        except (ValueError, OSError) as error:
            self._warn(f"{name} cannot be exported with these settings: {error}")
            return None

    def _by_console(self) -> "Way":
        from lrap_otel.telemetry.export.console import Console, ConsoleCodec  # noqa: PLC0415 - few ask for it

        return Console(self._print_out), ConsoleCodec()

    def _receiver(self, own: "SignalSettings") -> "Receiver":
        if not own.has_references:
            return self._endpoint(own)
        from lrap_otel.telemetry.export.aws.referenced import ReferencedEndpoint  # noqa: PLC0415 - few have secrets

        return ReferencedEndpoint(own, self._secrets(own), self._endpoint)

    def _endpoint(self, own: "SignalSettings") -> Endpoint:
        return endpoint_of(own, self._settings, self._tls)

    def _codec(self, own: "SignalSettings") -> "Codec":
        codec: Codec = encode
        if own.is_json:
            from lrap_otel.telemetry.export import encode_json  # noqa: PLC0415 - few ask for it

            codec = encode_json
        if _is_aws(own):
            from lrap_otel.telemetry.export.aws.encode import AwsCodec  # noqa: PLC0415 - see above

            codec = AwsCodec(codec, self._warn)
        return codec

    def _secrets(self, own: "SignalSettings") -> "Secrets":
        """The secrets of a signal, and of those that share them, which are being looked up from now
        on.
        """
        if self._known_secrets is None:
            from lrap_otel.telemetry.export.aws.secrets import secrets_of_settings  # noqa: PLC0415 - few have secrets

            settings = self._settings
            signals = (own,) if own is settings.logs else (settings.traces, settings.metrics)
            self._known_secrets = secrets_of_settings(settings, signals, self._tls)
        return self._known_secrets


def endpoint_of(own: "SignalSettings", settings: "ExportSettings", tls: "TlsByFiles") -> Endpoint:
    """The endpoint of a signal, its address and header fields without references to secrets.

    Raises ValueError or OSError, with a text for people, if the settings cannot be used.
    """
    if not _is_aws(own):
        return Endpoint(own, settings.network, tls)
    from lrap_otel.telemetry.export.aws.endpoint import AwsEndpoint  # noqa: PLC0415 - few send there

    return AwsEndpoint(own, settings.network, tls, settings.environment)


def _is_aws(own: "SignalSettings") -> bool:
    """Whether a signal goes to AWS's own OTLP endpoint. False if its address is in a secret."""
    if own.is_referenced_url or not any(each in own.url.lower() for each in _AWS_DOMAINS):
        return False
    from lrap_otel.telemetry.export.aws.hosts import otlp_service_of  # noqa: PLC0415 - few send there

    return bool(otlp_service_of(Url(own.url).host)[0])
