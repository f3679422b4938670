"""Whether a function's telemetry will arrive, by its variables. Pure: no input or output.

Used by `lrap-otel doctor`, and by the extension at ``LRAP_LOG_LEVEL=info``, which loads this file
only then. Texts repeat no value, except the paths of wrappers and scheme, host and port of an
endpoint.
"""

import _socket

from lrap_otel.settings import Settings
from lrap_otel.telemetry.export.aws.hosts import SIGNALS, otlp_service_of
from lrap_otel.telemetry.settings import EXPORT_VARIABLE, GRPC, ExportSettings
from lrap_otel.telemetry.url import Url, is_loopback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from lrap_otel.telemetry.settings import SignalSettings

WRAPPER = "/opt/lrap-otel/wrapper"
# Another path to the same file, which many layers use. Another layer may have a file of its own
# there.
SHORT_WRAPPER = "/opt/wrapper"
# The end of the wrapper's path in a layer or a checkout; a local run has it elsewhere.
_OWN_ENDING = "/lrap-otel/wrapper"
WRAPPER_VARIABLE = "AWS_LAMBDA_EXEC_WRAPPER"
NEXT_WRAPPER_VARIABLE = "LRAP_NEXT_WRAPPER"
ENDPOINT_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"

# It prevents tracing; it costs something; it is good to know.
ERROR, WARNING, NOTE = "error", "warning", "note"

# AWS Lambda Web Adapter is a client of the Runtime API itself, and has a variable for a proxy.
WEB_ADAPTER = "/opt/bootstrap"
WEB_ADAPTER_PROXY = "AWS_LWA_LAMBDA_RUNTIME_API_PROXY"
OTHER_WRAPPERS = {
    "/opt/otel-instrument": "the AWS Distro for OpenTelemetry",
    "/opt/otel-handler": "OpenTelemetry's layers for languages",
    "/opt/otel-proxy-handler": "OpenTelemetry's layers for languages",
    "/opt/otel-stream-handler": "OpenTelemetry's layers for languages",
    "/opt/datadog_wrapper": "Datadog",
    "/opt/newrelic_lambda_wrapper": "New Relic",
    "/newrelic_lambda_wrapper": "New Relic",
}
# These hosts accept OTLP over https only.
_HTTPS_ONLY = (
    "amazonaws.com",
    "amazonaws.com.cn",
    "axiom.co",
    "coralogix.com",
    "dash0.com",
    "datadoghq.com",
    "datadoghq.eu",
    "dynatrace.com",
    "grafana.net",
    "honeycomb.io",
    "lightstep.com",
    "nr-data.net",
    "signalfx.com",
)
# Domains of private networks.
_PRIVATE_NAMES = ("cluster.local", "home.arpa", "internal", "lan", "local", "localhost", "svc")
# Ports that other programs in a sandbox commonly use.
_PORTS_OF_OTHERS = {
    2772: "AWS's AppConfig extension",
    2773: "AWS's extension for parameters and secrets",
    4317: "an OpenTelemetry Collector",
    4318: "an OpenTelemetry Collector",
    8124: "Datadog's extension",
    8126: "Datadog's extension",
}
_PORTS_OF_SERVERS = ("AWS_LWA_PORT", "PORT")


class Finding:
    """The result of one check.

    `check` is its name, `severity` one of `ERROR`, `WARNING` and `NOTE`. `what` is a sentence that
    describes the problem, `remedy` one that says what to do.
    """

    __slots__ = ("check", "remedy", "severity", "what")

    def __init__(self, check: str, severity: str, what: str, remedy: str) -> None:
        self.check = check
        self.severity = severity
        self.what = what
        self.remedy = remedy

    def __repr__(self) -> str:
        return f"{self.severity}: {self.check}"

    def __str__(self) -> str:
        """Both sentences in one line."""
        return f"{self.what} {self.remedy}"


def check_variables(variables: "Mapping[bytes, bytes]") -> "list[Finding]":
    """The findings that the extension can make from its own variables, without knowing
    the runtime.
    """
    return [*check_wrapper(variables), *check_settings(variables)]


def check_wrapper(variables: "Mapping[bytes, bytes]") -> "list[Finding]":
    """Whether Lambda starts the runtime through our wrapper."""
    read = Settings(variables)
    wrapper, following = (
        read.environment.text(name) for name in (WRAPPER_VARIABLE, NEXT_WRAPPER_VARIABLE)
    )
    found: list[Finding] = []
    if wrapper.endswith((_OWN_ENDING, SHORT_WRAPPER)):
        if following.endswith(_OWN_ENDING):
            found.append(
                Finding(
                    "next-wrapper",
                    WARNING,
                    f"{NEXT_WRAPPER_VARIABLE} names our own wrapper.",
                    "Remove it, or name the other layer's wrapper.",
                )
            )
        return found
    if not wrapper:
        found.append(
            Finding(
                "no-wrapper",
                ERROR,
                f"{WRAPPER_VARIABLE} is not set, so Lambda does not start the runtime through our "
                f"wrapper.",
                f"Set {WRAPPER_VARIABLE}={WRAPPER}; a bootstrap or an entry point of your own "
                f"starts that file instead.",
            )
        )
    elif wrapper == WEB_ADAPTER:
        found += _check_web_adapter(read)
    else:
        found.append(_other_wrapper(wrapper))
    return found


def _check_web_adapter(read: Settings) -> "Iterator[Finding]":
    address = read.environment.text(WEB_ADAPTER_PROXY)
    if address not in {f"127.0.0.1:{read.listener_port}", f"localhost:{read.listener_port}"}:
        is_missing = "is not set" if not address else "does not name our port"
        yield Finding(
            "web-adapter",
            ERROR,
            f"The wrapper is AWS Lambda Web Adapter's, which calls Lambda past us: "
            f"{WEB_ADAPTER_PROXY} {is_missing}.",
            f"Set {WEB_ADAPTER_PROXY}=127.0.0.1:{read.listener_port}.",
        )


def _other_wrapper(wrapper: str) -> Finding:
    owner = OTHER_WRAPPERS.get(wrapper, "")
    return Finding(
        "other-wrapper",
        ERROR if owner else WARNING,
        f"{WRAPPER_VARIABLE} names {shown(wrapper)}"
        + (
            f" of {owner}, so ours never starts and nothing is traced."
            if owner
            else ", not our wrapper."
        ),
        f"Set {WRAPPER_VARIABLE}={WRAPPER} and {NEXT_WRAPPER_VARIABLE}={shown(wrapper)}, which "
        f"then starts after ours" + ("." if owner else ", unless that file starts ours by itself."),
    )


def check_settings(
    variables: "Mapping[bytes, bytes]", unknown: "Collection[str]" = ()
) -> "list[Finding]":
    """The consequences of our own and OpenTelemetry's variables.

    `unknown` are names of variables whose values are not known here.
    """
    settings, export = Settings(variables), ExportSettings(variables)
    found = [*_check_port(settings)]
    if not settings.export_enabled:
        found.append(
            Finding(
                "switched-off",
                WARNING,
                "LRAP_ENABLED=false or OTEL_SDK_DISABLED=true switches everything off: nothing is "
                "traced.",
                "Remove the variable to have traces again.",
            )
        )
        return found
    found += _check_what_is_sent(settings, export)
    endpoints = {
        place.variable: place
        for place in (
            _Place(export, "TRACES", export.traces),
            _Place(export, "METRICS", export.metrics),
        )
        if place.is_known and place.variable not in unknown and not _is_shadowed(place, unknown)
    }
    for place in endpoints.values():
        found += _check_endpoint(place)
    found += _check_grpc(export)
    return found


def _check_grpc(export: ExportSettings) -> "Iterator[Finding]":
    for signal in (export.traces, export.metrics):
        if GRPC not in signal.others:
            continue
        asked_by = signal.others[GRPC]
        if (
            not signal.is_referenced_url
            and (host := split_url(signal.url)[1])
            and aws_service(host)
        ):
            yield Finding(
                "aws-endpoint",
                ERROR,
                f"{asked_by}: {host} takes no gRPC.",
                "Remove the protocol: OTLP over HTTP is the default.",
            )
        elif signal.has_references:
            yield Finding(
                "grpc-secrets",
                ERROR,
                f"{asked_by}: the exporter over gRPC reads its variables itself, and knows no "
                f"references to secrets.",
                "Send over HTTP (http/protobuf), or give it the secret itself.",
            )


def _check_port(settings: Settings) -> "Iterator[Finding]":
    port = settings.listener_port
    owner = _PORTS_OF_OTHERS.get(port, "")
    for name in _PORTS_OF_SERVERS:
        if settings.environment.text(name) == str(port):
            owner = f"the server that {name} names"
    if owner:
        yield Finding(
            "port-of-another",
            WARNING,
            f"LRAP_LISTENER_PORT={port} is the port of {owner}.",
            "Choose another one, or none: 9009 is the default.",
        )


def _check_what_is_sent(settings: Settings, export: ExportSettings) -> "Iterator[Finding]":
    if not export.traces.is_sent:
        both = "OTEL_TRACES_EXPORTER=none and OTEL_METRICS_EXPORTER=none: nothing is sent."
        yield Finding(
            "no-traces",
            NOTE if export.metrics.is_sent else WARNING,
            "OTEL_TRACES_EXPORTER=none: only metrics are sent." if export.metrics.is_sent else both,
            "Remove the variable to have traces.",
        )
    if settings.sampler == "always_off":
        yield Finding(
            "no-traces",
            WARNING,
            "OTEL_TRACES_SAMPLER=always_off: no span is ever sent.",
            "Remove the variable, or set parentbased_traceidratio and a ratio.",
        )


class _Place:
    """Where one signal is sent: the parts of its URL, and the `variable` that sets it, empty for
    the default. `port` is 0 if the URL has none.
    """

    __slots__ = ("host", "is_known", "is_own", "path", "port", "scheme", "signal", "variable")

    def __init__(self, export: ExportSettings, signal: str, settings: "SignalSettings") -> None:
        own = f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"
        text = export.environment.text
        self.signal = signal.lower()
        self.is_own = bool(text(own))
        is_common = bool(text(ENDPOINT_VARIABLE)) and text(EXPORT_VARIABLE).lower() != "aws"
        self.variable = own if self.is_own else ENDPOINT_VARIABLE if is_common else ""
        # A value that is no URL has a warning of its own, and the default is used.
        faults = tuple(
            f"{self.variable} {fault}" for fault in ("is no http", "has a reference", "is no ARN")
        )
        is_malformed = any(warning.startswith(faults) for warning in export.warnings)
        is_sent = settings.enabled and bool(self.variable)
        self.is_known = is_sent and not is_malformed and not settings.is_referenced_url
        self.scheme, self.host, self.port, self.path = (
            split_url(settings.url) if self.is_known else ("", "", 0, "")
        )
        if not self.is_own:
            self.path = self.path.removesuffix(f"/v1/{self.signal}")

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)


def _is_shadowed(place: _Place, unknown: "Collection[str]") -> bool:
    return not place.is_own and f"OTEL_EXPORTER_OTLP_{place.signal.upper()}_ENDPOINT" in unknown


def split_url(text: str) -> tuple[str, str, int, str]:
    """Scheme, host and port (0 if there is none) of an address that the settings have accepted."""
    url = Url(text)
    return url.scheme, url.host, url.port if url.has_port else 0, url.path.partition("?")[0]


def _check_endpoint(place: _Place) -> "Iterator[Finding]":
    service = aws_service(place.host)
    if service:
        yield from _check_aws(place, service)
    yield from _check_scheme(place)
    yield from _check_path(place)


def _check_aws(place: _Place, service: str) -> "Iterator[Finding]":
    signal = SIGNALS[service]
    if not place.is_own or signal != place.signal:
        yield Finding(
            "aws-endpoint",
            ERROR,
            f"{place.variable}: {place.host} takes {signal} alone, and gets "
            f"{place.signal if place.is_own else 'every signal'}.",
            f"Set OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT instead, one for each signal, or "
            f"{EXPORT_VARIABLE}=aws.",
        )


def _check_scheme(place: _Place) -> "Iterator[Finding]":
    name, origin = (
        place.variable,
        f"{place.scheme}://{place.host}" + (f":{place.port}" if place.port else ""),
    )
    takes_https_alone = any(is_within(place.host, vendor) for vendor in _HTTPS_ONLY)
    if place.port == 4317:
        yield Finding(
            "grpc-port",
            WARNING,
            f"{name}: port 4317 of {place.host} is gRPC's by custom, and we speak HTTP.",
            "Write 4318, the port of OTLP over HTTP.",
        )
    elif place.scheme == "http" and (place.port == 443 or takes_https_alone):
        yield Finding(
            "http-for-https",
            ERROR,
            f"{name}: {origin} takes https alone.",
            f"Write https://{place.host}"
            + (f":{place.port}." if place.port not in {0, 80, 443} else "."),
        )
    elif place.scheme == "https" and place.port == 80:
        yield Finding(
            "https-for-http",
            ERROR,
            f"{name}: port 80 speaks no TLS.",
            "Write http://, or the port of TLS.",
        )
    elif place.scheme == "http" and is_public(place.host):
        yield Finding(
            "plain-http",
            WARNING,
            f"{name}: {origin} is a public host, and what is sent, credentials included, can be "
            f"read on the way.",
            "Write https:// if it takes that, or reach it by a private network.",
        )
    elif place.scheme == "https" and (place.is_loopback or place.port == 4318):
        yield Finding(
            "https-for-http",
            WARNING if place.is_loopback else NOTE,
            f"{name}: {origin} must speak TLS, and a collector there commonly does not.",
            "Write http:// unless it has a certificate.",
        )
    elif place.scheme == "http" and not place.port:
        yield Finding(
            "no-port",
            NOTE,
            f"{name}: without a port {origin} is port 80.",
            "Write :4318 if a collector listens there.",
        )


def _check_path(place: _Place) -> "Iterator[Finding]":
    ends = place.path.rstrip("/").rpartition("/v1/")[2] if "/v1/" in place.path else ""
    if not place.is_own and ends in {"traces", "metrics", "logs"}:
        yield Finding(
            "path",
            ERROR,
            f"{place.variable} ends in /v1/{ends}, and each signal's own path is added to it.",
            f"Take /v1/{ends} away, or set OTEL_EXPORTER_OTLP_{ends.upper()}_ENDPOINT.",
        )
    elif place.is_own and ends in {"traces", "metrics", "logs"} and ends != place.signal:
        yield Finding(
            "path",
            ERROR,
            f"{place.variable} ends in /v1/{ends}, which takes {ends}.",
            f"Write /v1/{place.signal} there.",
        )
    elif place.is_own and place.path in {"", "/"}:
        yield Finding(
            "path",
            WARNING,
            f"{place.variable} has no path, and a signal's own endpoint is used as it is.",
            f"Add /v1/{place.signal}, or set {ENDPOINT_VARIABLE} instead, to which it is added.",
        )


def aws_service(host: str) -> str:
    """``xray``, ``monitoring`` or ``logs`` for AWS's own OTLP endpoints; empty for other hosts."""
    return otlp_service_of(host)[0]


def is_within(host: str, domain: str) -> bool:
    """Whether a host is this domain or below it."""
    return host == domain or host.endswith(f".{domain}")


def is_public(host: str) -> bool:
    """Whether a host is outside private networks, by its name or address."""
    packed = _packed(host)
    if packed is None:
        return "." in host and not any(is_within(host, name) for name in _PRIVATE_NAMES)
    if len(packed) == 16:
        # Unique local, link-local, loopback.
        return packed[0] & 0xFE != 0xFC and packed[:2] != b"\xfe\x80" and any(packed[:15])
    first, second = packed[0], packed[1]
    is_private = first in {0, 10, 127} or (first, second) in {(192, 168), (169, 254)}
    return not (
        is_private or (first == 172 and 16 <= second < 32) or (first == 100 and 64 <= second < 128)
    )


def _packed(host: str) -> "bytes | None":
    try:
        return _socket.inet_pton(_socket.AF_INET6 if ":" in host else _socket.AF_INET, host)
    except (OSError, ValueError):
        return None


def shown(text: str) -> str:
    """A name or a path, shortened and printable, for one line of text."""
    short = text if len(text) <= 60 else text[:60] + "..."
    return short if short.isprintable() else ascii(short)
