"""The environment variables that the telemetry process reads. Most are OpenTelemetry's own, with
OpenTelemetry's defaults; docs/settings.md has them all.

Sources: OpenTelemetry, "Environment Variable Specification"; "OTLP Exporter", "Configuration
Options"; "Resource SDK", "Specifying resource information via an environment variable".
"""

import posix

from lrap_otel.environment import Environment, quoted
from lrap_otel.settings import (
    DEFAULT_SAMPLER,
    LONGEST_MS,
    MANAGED_INSTANCES,
    SAMPLERS,
    telemetry_types,
)
from lrap_otel.telemetry.percent import unquoted
from lrap_otel.telemetry.url import Url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lrap_otel.settings import Settings

    # Of one entry of a list: name, value, and what is wrong with it, for a warning.
    Entry = tuple[str, str, str]

# ``aws``: traces go to AWS's own OTLP endpoint, and the other signals if they are asked for.
EXPORT_VARIABLE = "LRAP_EXPORT"
# By severity, the least that is sent.
LOGS_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")
# The largest number that OpenTelemetry asks for.
_LARGEST = 2**31 - 1
_NO_LIMIT = "no limit"
# Lambda keeps it when it resets a sandbox.
_SPOOL_FOLDER = "/tmp"  # noqa: S108 - the spool expects anything in its place
# Allowed in a header field's name (RFC 9110, "Tokens") besides letters and digits.
_NAME_MARKS = "!#$%&'*+-.^_`|~"
_PROTOCOLS = ("http/protobuf", "http/json", "grpc")
# The name by which OpenTelemetry's own exporter over gRPC is registered.
GRPC = "otlp_proto_grpc"
# Prints, in the place of sending.
_CONSOLE = "console"
# What a reference to a secret begins with (export/aws/references.py); OpenTelemetry has no such
# thing.
REFERENCE = "${arn:"
_EXPORTER_NAME_MARKS = "-_."
_EXPORTER_NAME_LIMIT = 64
# Fields that the client writes itself, about the body and the connection. A second or different one
# would break the request.
_FIELDS_OF_THE_CLIENT = (
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)


class SignalSettings:
    """Where one signal is sent; `signal` is ``TRACES`` or ``METRICS``. A variable of its own takes
    precedence over the common one.
    """

    __slots__ = (
        "certificate",
        "client_certificate",
        "client_key",
        "compression",
        "enabled",
        "has_console",
        "headers",
        "is_json",
        "others",
        "timeout_ms",
        "url",
    )

    def __init__(self, read: Environment, signal: str) -> None:
        def own_or_common(name: str) -> str:
            own = f"OTEL_EXPORTER_OTLP_{signal}_{name}"
            return own if read.text(own) else f"OTEL_EXPORTER_OTLP_{name}"

        def one_of(name: str, default: str, choices: tuple[str, ...]) -> str:
            common = read.one_of(f"OTEL_EXPORTER_OTLP_{name}", default, choices)
            return read.one_of(f"OTEL_EXPORTER_OTLP_{signal}_{name}", common, choices)

        is_grpc = self._read_exporters(read, signal)
        # With gRPC the SDK reads them, and they need no scheme; ours are for want of its exporter.
        url = _url if not is_grpc else _any_url
        common_url = url(read, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
        default = _aws_endpoint(read, signal) or _with_path(common_url, f"/v1/{signal.lower()}")
        self.url = url(read, f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", default)
        self.headers = _headers(read, own_or_common("HEADERS"))
        common_timeout_ms = _timeout_ms(read, "OTEL_EXPORTER_OTLP_TIMEOUT", 10_000)
        self.timeout_ms = _timeout_ms(
            read, f"OTEL_EXPORTER_OTLP_{signal}_TIMEOUT", common_timeout_ms
        )
        if is_grpc and self.has_references:
            read.warn(
                "references to secrets are not looked up for grpc, whose exporter reads its "
                "variables itself"
            )
        self.compression = one_of("COMPRESSION", "none", ("none", "gzip"))
        self.certificate = read.text(own_or_common("CERTIFICATE"))
        self.client_key = read.text(own_or_common("CLIENT_KEY"))
        self.client_certificate = read.text(own_or_common("CLIENT_CERTIFICATE"))

    @property
    def is_sent(self) -> bool:
        """Whether anything sends this signal."""
        return self.enabled or self.has_console or bool(self.others)

    @property
    def is_referenced_url(self) -> bool:
        """Whether the address is not known before a secret is."""
        return REFERENCE in self.url

    @property
    def has_references(self) -> bool:
        """Whether the address or a header field refers to a secret."""
        return any(REFERENCE in text for text in (self.url, *self.headers.values()))

    @property
    def shown_url(self) -> str:
        """The address for people: without credentials and the query, and without what a secret
        holds.
        """
        return "the address that a secret holds" if self.is_referenced_url else str(Url(self.url))

    def replaced(self, url: str, headers: dict[str, str]) -> "SignalSettings":
        """A copy with another address and other header fields."""
        copy = object.__new__(SignalSettings)
        for name in self.__slots__:
            setattr(copy, name, getattr(self, name))
        copy.url, copy.headers = url, headers
        return copy

    def _read_exporters(self, read: Environment, signal: str) -> bool:
        """Set `enabled`: whether we send it, as OTLP over HTTP; `is_json`: whether as JSON;
        `has_console`: whether it is printed; and `others`: the exporters of packages, by the names
        that these register, each with what asks for it. Whether OTLP goes by gRPC.
        """
        own, common = f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"
        says = f"{_PROTOCOLS[0]} (also known: {', '.join(_PROTOCOLS[1:])})"
        protocol = read.one_of(common, _PROTOCOLS[0], _PROTOCOLS, says)
        protocol = read.one_of(
            own, protocol, _PROTOCOLS, says if protocol == _PROTOCOLS[0] else protocol
        )
        names = _exporters(read, signal)
        if (
            protocol == "grpc"
            and _aws_endpoint(read, signal)
            and not read.text(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        ):
            read.warn(
                f"AWS takes OTLP over HTTP alone, so with {EXPORT_VARIABLE}=aws {_PROTOCOLS[0]} is "
                f"used for grpc"
            )
            protocol = _PROTOCOLS[0]
        is_grpc = "otlp" in names and protocol == "grpc"
        self.enabled = "otlp" in names and not is_grpc
        self.is_json = protocol == "http/json"
        self.has_console = _CONSOLE in names
        self.others = {
            name: f"OTEL_{signal}_EXPORTER" for name in names if name not in {"otlp", _CONSOLE}
        }
        if is_grpc:
            asked_by = own if read.text(own).lower() == "grpc" else common
            self.others = {GRPC: f"{asked_by}=grpc", **self.others}
        return is_grpc


class NetworkSettings:
    """Variables that other HTTP clients read too: the proxy for each scheme, the hosts that need
    none, the certificate authorities to trust. Empty if not set.
    """

    __slots__ = ("certificate_file", "certificate_folder", "http_proxy", "https_proxy", "no_proxy")

    def __init__(self, read: Environment) -> None:
        every_proxy = _in_either_case(read, "all_proxy")
        self.http_proxy = _in_either_case(read, "http_proxy") or every_proxy
        self.https_proxy = _in_either_case(read, "https_proxy") or every_proxy
        self.no_proxy = _in_either_case(read, "no_proxy")
        self.certificate_file = read.text("SSL_CERT_FILE")
        self.certificate_folder = read.text("SSL_CERT_DIR")


class SpoolSettings:
    """The file of spans that no export could deliver: where it lies, and how long it may get. With
    0 bytes there is none. `has_snapshot`: this init may end in a snapshot, in which there must be
    none.
    """

    __slots__ = ("has_snapshot", "limit_bytes", "path")

    def __init__(self, read: Environment) -> None:
        self.limit_bytes = read.number("LRAP_SPOOL_BYTES", 8_388_608, 0, _LARGEST)
        folder = read.text("LRAP_SPOOL_DIR", _SPOOL_FOLDER)
        if not folder.startswith("/"):
            read.warn(f"LRAP_SPOOL_DIR is not an absolute path; {_SPOOL_FOLDER} is used instead")
            folder = _SPOOL_FOLDER
        self.has_snapshot = read.text("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"
        # Fixed, so that the next start finds it.
        self.path = f"{folder}/.lrap-otel-spool-{posix.geteuid()}"


class ExportSettings:
    """All settings of the telemetry process."""

    __slots__ = (
        "captured_exception",
        "captures_client_address",
        "captures_query",
        "environment",
        "exemplar_filter",
        "export_timeout_ms",
        "function_memory_mb",
        "function_name",
        "function_version",
        "histogram_aggregation",
        "is_managed_instances",
        "keep",
        "known_http_methods",
        "log_group",
        "log_stream",
        "logs",
        "logs_level",
        "logs_rate",
        "max_attribute_length",
        "max_attributes",
        "max_batch_spans",
        "max_event_attributes",
        "max_events",
        "max_link_attributes",
        "max_links",
        "max_queue_spans",
        "metric_interval_ms",
        "metric_temporality",
        "metrics",
        "network",
        "redacted_names",
        "region",
        "resource_attributes",
        "sampler",
        "sampler_argument",
        "schedule_delay_ms",
        "service_name",
        "spool",
        "telemetry_types",
        "traces",
    )

    def __init__(self, variables: "Mapping[bytes, bytes]") -> None:
        read = self.environment = Environment(variables)
        self.traces = SignalSettings(read, "TRACES")
        self.metrics = SignalSettings(read, "METRICS")
        self.telemetry_types = telemetry_types(read)
        self._read_logs(read)
        self.network = NetworkSettings(read)
        self.spool = SpoolSettings(read)
        self._read_batching(read)
        self._read_metrics(read)
        self._read_limits(read)
        self._read_privacy(read)
        # The proxy process warns of a value that is no sampler, or no argument of one.
        sampler = read.text("OTEL_TRACES_SAMPLER").lower()
        self.sampler = sampler if sampler in SAMPLERS else DEFAULT_SAMPLER
        self.sampler_argument = read.text("OTEL_TRACES_SAMPLER_ARG")
        self.keep = _keep(read)
        self.known_http_methods = read.text("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS")
        self.resource_attributes = _resource_attributes(read, "OTEL_RESOURCE_ATTRIBUTES")
        self.service_name = read.text("OTEL_SERVICE_NAME")
        self.region = read.text("AWS_REGION", read.text("AWS_DEFAULT_REGION"))
        self.function_name = read.text("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = read.text("AWS_LAMBDA_FUNCTION_VERSION")
        self.function_memory_mb = read.number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 0, 0, 1_000_000)
        self.log_group = read.text("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream = read.text("AWS_LAMBDA_LOG_STREAM_NAME")

    @property
    def warnings(self) -> list[str]:
        return self.environment.warnings

    def _read_logs(self, read: Environment) -> None:
        is_wanted = "function" in self.telemetry_types
        # Of what is not used, nobody need be warned: an SDK in the function may read it.
        self.logs = SignalSettings(read if is_wanted else Environment(read.variables), "LOGS")
        # What is printed would come back as an extension's line.
        asked = [
            *self.logs.others.values(),
            *(["OTEL_LOGS_EXPORTER=console"] if self.logs.has_console else []),
        ]
        if not is_wanted:
            self.logs.others, self.logs.has_console, self.logs.enabled = {}, False, False
        elif asked:
            read.warn(
                f"{', '.join(asked)} is not offered for logs; OTLP over http/protobuf is used "
                f"instead"
            )
            self.logs.others, self.logs.has_console, self.logs.enabled = {}, False, True
        self.logs_level = read.one_of("LRAP_LOGS_LEVEL", "trace", LOGS_LEVELS)
        self.logs_rate = read.number("LRAP_LOGS_RATE", 0, 0, _LARGEST)
        self.is_managed_instances = read.text("AWS_LAMBDA_INITIALIZATION_TYPE") == MANAGED_INSTANCES

    def _read_batching(self, read: Environment) -> None:
        self.max_queue_spans = read.number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048, 1, _LARGEST)
        batch = read.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, 1, _LARGEST)
        self.max_batch_spans = min(batch, self.max_queue_spans)
        self.schedule_delay_ms = read.number("OTEL_BSP_SCHEDULE_DELAY", 5_000, 0, _LARGEST) or 1
        self.export_timeout_ms = _timeout_ms(read, "OTEL_BSP_EXPORT_TIMEOUT", 30_000)

    def _read_metrics(self, read: Environment) -> None:
        self.metric_interval_ms = read.number("OTEL_METRIC_EXPORT_INTERVAL", 60_000, 1, _LARGEST)
        # One attempt has two limits: this one and OTLP's own.
        self.metrics.timeout_ms = min(
            self.metrics.timeout_ms, _timeout_ms(read, "OTEL_METRIC_EXPORT_TIMEOUT", 30_000)
        )
        self.exemplar_filter = read.one_of(
            "OTEL_METRICS_EXEMPLAR_FILTER",
            "trace_based",
            ("always_on", "always_off", "trace_based"),
        )
        # OpenTelemetry's default is cumulative, which would make a series of its own of each
        # short-lived sandbox.
        self.metric_temporality = read.one_of(
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            "delta",
            ("delta", "cumulative", "lowmemory"),
        )
        self.histogram_aggregation = read.one_of(
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "explicit_bucket_histogram",
            ("explicit_bucket_histogram", "base2_exponential_bucket_histogram"),
        )

    def _read_limits(self, read: Environment) -> None:
        # 0 means OpenTelemetry's default: no limit.
        every_length = read.number("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", 0, 1, _LARGEST, _NO_LIMIT)
        self.max_attribute_length = read.number(
            "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            every_length,
            1,
            _LARGEST,
            str(every_length) if every_length else _NO_LIMIT,
        )
        every_count = read.number("OTEL_ATTRIBUTE_COUNT_LIMIT", 128, 0, _LARGEST)
        self.max_attributes = read.number(
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", every_count, 0, _LARGEST
        )
        self.max_events = read.number("OTEL_SPAN_EVENT_COUNT_LIMIT", 128, 0, _LARGEST)
        self.max_links = read.number("OTEL_SPAN_LINK_COUNT_LIMIT", 128, 0, _LARGEST)
        self.max_event_attributes = read.number(
            "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", every_count, 0, _LARGEST
        )
        self.max_link_attributes = read.number(
            "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", every_count, 0, _LARGEST
        )

    def _read_privacy(self, read: Environment) -> None:
        self.captures_query = read.switch("LRAP_CAPTURE_QUERY", default=True)
        self.captures_client_address = read.switch("LRAP_CAPTURE_CLIENT_ADDRESS", default=True)
        self.captured_exception = read.one_of(
            "LRAP_CAPTURE_EXCEPTION", "stack", ("type", "message", "stack")
        )
        self.redacted_names = tuple(
            filter(None, map(str.strip, read.text("LRAP_REDACT").split(",")))
        )


def _keep(read: Environment) -> dict[str, float]:
    """The rules by which spans are kept; none if all are."""
    text = read.text("LRAP_KEEP")
    if not text:
        return {}
    from lrap_otel.telemetry import setting_keep  # noqa: PLC0415 - few ask for it

    try:
        return setting_keep.parse(text)
    except ValueError:
        read.warn(
            f"LRAP_KEEP={quoted(text)} cannot be used; every span that is sampled is sent instead"
        )
        return {}


def _in_either_case(read: Environment, name: str) -> str:
    """The variable in lower case; in upper case only if the other is not set at all."""
    upper = read.text(name.upper())
    return read.text(name) if read.variables.get(name.encode()) is not None else upper


def in_force(settings: "Settings") -> str:
    """One line for the log: where telemetry goes, without credentials, and what is traced."""
    export = ExportSettings(settings.environment.variables)
    traces, metrics = (
        ", ".join(_named_ways(signal)) or "nowhere" for signal in (export.traces, export.metrics)
    )
    ratio = f" ({settings.sampler_argument})" if settings.sampler_argument else ""
    logs = f", logs to {export.logs.shown_url}" if export.logs.enabled else ""
    return (
        f"traces go to {traces}, metrics to {metrics}{logs}; sampler {settings.sampler}{ratio}, "
        f"propagators {','.join(settings.propagators)}"
    )


def _named_ways(signal: SignalSettings) -> list[str]:
    ours = [signal.shown_url] if signal.enabled else []
    return [*ours, *(["the log"] if signal.has_console else []), *signal.others]


def _aws_endpoint(read: Environment, signal: str) -> str:
    """AWS's own address for a signal if LRAP_EXPORT=aws asks for it; else empty."""
    if not read.one_of(EXPORT_VARIABLE, "", ("aws",), "it"):
        return ""
    from lrap_otel.telemetry.export.aws.hosts import is_region, otlp_endpoint  # noqa: PLC0415 - few ask for it

    region = read.text("AWS_REGION", read.text("AWS_DEFAULT_REGION"))
    if not is_region(region):
        read.warn(
            f"{EXPORT_VARIABLE}=aws needs AWS_REGION; OTEL_EXPORTER_OTLP_ENDPOINT is used instead"
        )
        return ""
    return otlp_endpoint(
        signal.lower(), region, is_fips=read.text("AWS_USE_FIPS_ENDPOINT").lower() == "true"
    )


def _timeout_ms(read: Environment, name: str, default: int) -> int:
    """Milliseconds. 0 means no limit (OpenTelemetry's rule): `LONGEST_MS`."""
    return min(read.number(name, default, 0, _LARGEST) or LONGEST_MS, LONGEST_MS)


def _url(read: Environment, name: str, default: str) -> str:
    """An ``http`` or ``https`` address. It may contain a password, so no warning repeats it."""
    text = read.text(name)
    if not text:
        return default
    url, mark, _ = text.partition("#")
    if fault := _reference_fault(url):
        read.warn(f"{name} {fault}; the default is used instead")
        return default
    if not _is_url(url):
        read.warn(f"{name} is no http:// or https:// address; the default is used instead")
        return default
    if mark:
        read.warn(f"{name} has a fragment (#...), which is never sent to a server; it is left out")
    return url


def _any_url(read: Environment, name: str, default: str) -> str:
    """An ``http`` or ``https`` address, and no word about another."""
    text = read.text(name).partition("#")[0]
    return text if _is_url(text) else default


def _exporters(read: Environment, signal: str) -> list[str]:
    """The exporters that a signal's variable names, each once: ``otlp``, ``console``, or what a
    package registers; none if it says ``none`` alone. What cannot be one is left out with a
    warning; if nothing is left, it is ``otlp``.

    With LRAP_EXPORT=aws metrics are sent only if they are asked for: AWS bills them apart.
    """
    name = f"OTEL_{signal}_EXPORTER"
    is_asked_for = bool(read.text(name) or read.text(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"))
    if signal == "METRICS" and not is_asked_for and _aws_endpoint(read, signal):
        return []
    asked = list(dict.fromkeys(part.strip() for part in read.text(name).split(",") if part.strip()))
    if [each.lower() for each in asked] == ["none"]:
        return []
    found = []
    for number, each in enumerate(asked, 1):
        is_name = all(
            mark.isascii() and (mark.isalnum() or mark in _EXPORTER_NAME_MARKS) for mark in each
        )
        if each.lower() in {"otlp", _CONSOLE}:
            found.append(each.lower())
        elif each.lower() == "none" or not is_name or len(each) > _EXPORTER_NAME_LIMIT:
            what = "is none beside others" if each.lower() == "none" else "is no exporter's name"
            read.warn(
                f"{name}: entry {number} {what}; it is ignored. "
                "There are otlp, console, none and those that packages register"
            )
        else:
            found.append(each)
    return list(dict.fromkeys(found)) or ["otlp"]


def _with_path(url: str, path: str) -> str:
    """`url` with `path` appended to its path, before its query."""
    base, mark, query = url.partition("?")
    return f"{base.removesuffix('/')}{path}{mark}{query}"


def _is_url(text: str) -> bool:
    # A blank or a control character would break the request line; other alphabets are
    # percent-encoded.
    if not all("!" <= character <= "~" for character in text):
        return False
    if REFERENCE in text:
        # Of what is known before the secrets are, only the beginning can be wrong.
        return text.lower().startswith((REFERENCE, "http://", "https://"))
    try:
        Url(text)
    except ValueError:
        return False
    return True


def _headers(read: Environment, name: str) -> dict[str, str]:
    """Header fields. An entry that would break the request is left out with a warning, which does
    not repeat the value: it is often a key.
    """
    fields: dict[str, str] = {}
    for number, (key, value, malformed) in enumerate(_entries(read.text(name)), 1):
        if fault := malformed or _header_fault(key, value):
            read.warn(f"{name}: entry {number} {fault}; it is left out")
            continue
        for same in [other for other in fields if other.lower() == key.lower()]:
            del fields[same]
        fields[key] = value
    return fields


def _header_fault(key: str, value: str) -> str:
    if not all(letter.isascii() and (letter.isalnum() or letter in _NAME_MARKS) for letter in key):
        return "has a name that is no header field's"
    if any((letter < " " and letter != "\t") or letter == "\x7f" for letter in value):
        return f"({key}) has a control character in its value"
    if key.lower() in _FIELDS_OF_THE_CLIENT:
        return f"({key}) is written by the client itself"
    fault = _reference_fault(value)
    return f"({key}) {fault}" if fault else ""


def _reference_fault(text: str) -> str:
    """What is wrong with the references to secrets in `text`; empty if nothing is, or there are
    none.
    """
    if REFERENCE not in text:
        return ""
    from lrap_otel.telemetry.export.aws.references import references_in  # noqa: PLC0415 - few have any

    try:
        references_in(text)
    except ValueError as error:
        return str(error)
    return ""


def _resource_attributes(read: Environment, name: str) -> dict[str, str]:
    """Attributes of the resource. A malformed entry is left out with a warning, as by the stock SDK
    for Python. The specification suggests to discard all of them; one slip should not cost the
    names of environment and team.
    """
    attributes: dict[str, str] = {}
    for number, (key, value, malformed) in enumerate(_entries(read.text(name)), 1):
        is_nameless = key == "service.name" and not value
        if fault := malformed or ("(service.name) is empty" if is_nameless else ""):
            read.warn(f"{name}: entry {number} {fault}; it is left out")
        else:
            attributes[key] = value
    return attributes


def _entries(text: str) -> "list[Entry]":
    """The entries of ``name=value,name=value``, both percent-encoded. Empty entries are skipped."""
    return [_entry(part) for part in text.split(",") if part.strip()]


def _entry(text: str) -> "Entry":
    name, equals, value = text.partition("=")
    if not equals:
        return "", "", "has no = (a comma in a value is written %2C)"
    try:
        key, plain = unquoted(name.strip(), "strict"), unquoted(value.strip(), "strict")
    except UnicodeDecodeError:
        return "", "", "is not UTF-8 once it is decoded"
    return (key, plain, "") if key else ("", "", "has no name")
