"""Checks of a function's configuration, from the API or a template. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lrap_otel.aws.doctor.subject import encoded
from lrap_otel.aws.function import LAYER_NAME
from lrap_otel.aws.obstacles import (
    BOOTSTRAP_LINE,
    MAX_ENVIRONMENT_BYTES,
    MAX_LAYERS,
    environment_bytes,
    has_own_bootstrap,
    is_known,
    is_too_old,
)
from lrap_otel.propagation.sampling import Sampler
from lrap_otel.settings import Settings
from lrap_otel.telemetry.export.aws.references import Reference, references_in
from lrap_otel.telemetry.setting_names import unknown_names, unused_names
from lrap_otel.telemetry.settings import EXPORT_VARIABLE, REFERENCE, ExportSettings
from lrap_otel.telemetry.url import is_loopback
from lrap_otel.telemetry.variable_checks import (
    ENDPOINT_VARIABLE,
    ERROR,
    NEXT_WRAPPER_VARIABLE,
    NOTE,
    OTHER_WRAPPERS,
    SHORT_WRAPPER,
    WARNING,
    WEB_ADAPTER,
    WEB_ADAPTER_PROXY,
    WRAPPER,
    WRAPPER_VARIABLE,
    Finding,
    check_settings,
    check_wrapper,
    is_public,
    shown,
    split_url,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lrap_otel.aws.doctor.subject import Subject

IMAGE_LINES = (
    "COPY --from=LRAP_OTEL_IMAGE /opt /opt` and `ENTRYPOINT "
    f'["{WRAPPER}", "/lambda-entrypoint.sh"]'  # the names of AWS's base images
)
# CPU of the proxy (20 ms) and the telemetry process (50 ms) until the first span is out, by
# bench/start.py. A function's share of a CPU is its memory divided by 1,769 MB (AWS, "Configure
# function memory").
START_CPU_S = 0.07
MB_OF_A_CPU = 1_769
LOW_MEMORY_MB = 256

_SIGNALS = ("TRACES", "METRICS")
_CREDENTIALS = re.compile(
    r"auth|cookie|credential|dsn|key|license|password|secret|signature|team|token", re.IGNORECASE
)
_MALFORMED_ENDPOINT = re.compile(r"OTEL_EXPORTER_OTLP_([A-Z]+_)?ENDPOINT is no http")


def check(subject: Subject) -> list[Finding]:
    """All findings, the most severe first."""
    return graded([*_check(subject)])


def graded(findings: list[Finding]) -> list[Finding]:
    """The findings, each once, the most severe first."""
    order = (ERROR, WARNING, NOTE)
    unique = {(finding.check, finding.what): finding for finding in findings}
    return sorted(unique.values(), key=lambda finding: order.index(finding.severity))


def _check(subject: Subject) -> Iterator[Finding]:
    if subject.runtime and is_too_old(subject.runtime):
        yield Finding(
            "old-runtime",
            ERROR,
            f"{subject.runtime} runs neither wrappers nor extensions.",
            "Move it to a current runtime.",
        )
        return
    if subject.is_image:
        yield Finding(
            "image",
            NOTE,
            "A container image takes no layers, and what is in it cannot be seen from here.",
            f"Put `{IMAGE_LINES}` into its Dockerfile, and run `lrap-otel doctor` in it.",
        )
        if subject.is_none_of_ours:
            return
    elif subject.is_none_of_ours:
        yield _not_instrumented(subject)
        yield from _check_room(subject)
        return
    else:
        yield from _check_layers(subject)
        yield from _check_start(subject)
    yield from check_values(subject.variables, subject.unknown)
    yield from _check_secrets(subject)
    yield from _check_destination(subject)
    yield from _check_surroundings(subject)


def _not_instrumented(subject: Subject) -> Finding:
    other = subject.variables.get(WRAPPER_VARIABLE, "")
    chained = f" Its wrapper goes into {NEXT_WRAPPER_VARIABLE}." if other in OTHER_WRAPPERS else ""
    remedy = "`lrap-otel instrument` adds both." if subject.is_deployed else "Add both to trace it."
    return Finding(
        "not-instrumented",
        ERROR if subject.is_named else NOTE,
        "Neither our layer nor our wrapper is on it, so nothing is traced.",
        remedy + chained,
    )


def _check_room(subject: Subject) -> Iterator[Finding]:
    count = len(subject.layers or ())
    if subject.has_our_layer is False and count >= MAX_LAYERS:
        yield Finding(
            "layers-full",
            ERROR if subject.is_named else NOTE,
            f"It has {count} layers, and Lambda allows {MAX_LAYERS}: there is no room for ours.",
            "Merge two of its layers into one (unzip them into one folder).",
        )
    elif count > MAX_LAYERS:
        yield Finding(
            "layers-full",
            ERROR,
            f"It has {count} layers, and Lambda allows {MAX_LAYERS}.",
            "Merge two of them.",
        )
    size = environment_bytes(subject.variables)
    if size > MAX_ENVIRONMENT_BYTES:
        yield Finding(
            "variables-full",
            ERROR,
            f"Its variables take {size} of the {MAX_ENVIRONMENT_BYTES} bytes that Lambda allows.",
            "Move a large one into Parameter Store or Secrets Manager.",
        )


def _check_layers(subject: Subject) -> Iterator[Finding]:
    yield from _check_room(subject)
    if subject.has_our_layer is False:
        is_fatal = subject.variables.get(WRAPPER_VARIABLE) == WRAPPER
        consequence = (
            "Lambda does not find the wrapper, and every invocation fails"
            if is_fatal
            else "nothing is traced"
        )
        doubt = "unless one of them is ours by another name, " if subject.layers else ""
        yield Finding(
            "no-layer",
            ERROR,
            f"None of its layers is called {LAYER_NAME}: {doubt}{consequence}.",
            "Add the layer; if it is there by another name, say so by --layer-name.",
        )
    for layer in subject.layers or ():
        missing = {*(subject.architectures or ())} - {*layer.architectures}
        if layer.is_ours and layer.architectures and missing:
            yield Finding(
                "architecture",
                ERROR,
                f"The function runs on {', '.join(map(shown, sorted(missing)))}, for which this "
                f"version of the layer is not made.",
                "Use a layer built for both architectures: `make layer` without ARCH.",
            )


def _check_start(subject: Subject) -> Iterator[Finding]:
    """Whether the runtime starts through our wrapper."""
    runtime = subject.runtime
    if runtime and has_own_bootstrap(runtime):
        yield _own_bootstrap(subject, runtime)
        return
    if runtime and not is_known(runtime):
        yield Finding(
            "unknown-runtime",
            NOTE,
            f"The runtime {runtime!r} is not known here, and is taken to run wrappers.",
            "See whether spans arrive; if not, start it through the wrapper by itself.",
        )
    wrapper = subject.variables.get(WRAPPER_VARIABLE, "")
    is_open = WRAPPER_VARIABLE in subject.unknown or (
        wrapper == WEB_ADAPTER and WEB_ADAPTER_PROXY in subject.unknown
    )
    # An unknown runtime may not need a wrapper.
    is_missing = runtime is not None and subject.is_set(WRAPPER_VARIABLE) is False
    if not is_open and (wrapper or is_missing):
        yield from check_wrapper(subject.encoded)
    yield from _check_other_layers(subject)


def _own_bootstrap(subject: Subject, runtime: str) -> Finding:
    is_set = subject.is_set(WRAPPER_VARIABLE)
    return Finding(
        "own-bootstrap",
        WARNING if is_set else NOTE,
        f"{runtime} ignores wrappers"
        + (f", so {WRAPPER_VARIABLE} has no effect." if is_set else "."),
        f"End its bootstrap with this line: {BOOTSTRAP_LINE}"
        + (f" and remove {WRAPPER_VARIABLE}." if is_set else ""),
    )


def _check_other_layers(subject: Subject) -> Iterator[Finding]:
    if subject.layers is None or subject.has_our_layer is not True:
        return
    others = [layer for layer in subject.layers if not layer.is_ours]
    following = subject.variables.get(NEXT_WRAPPER_VARIABLE, "")
    if following in OTHER_WRAPPERS and not others:
        yield Finding(
            "next-wrapper",
            WARNING,
            f"{NEXT_WRAPPER_VARIABLE} names {following} of {OTHER_WRAPPERS[following]}, whose "
            f"layer is not there.",
            "Add that layer, or remove the variable.",
        )
    if others and subject.variables.get(WRAPPER_VARIABLE) == SHORT_WRAPPER:
        yield Finding(
            "short-wrapper",
            NOTE,
            f"{SHORT_WRAPPER} is a name that other layers use as well, and the last of the "
            f"layers wins.",
            f"Write {WRAPPER}, which is ours alone.",
        )


def check_values(
    variables: Mapping[str, str], unknown: frozenset[str] = frozenset()
) -> Iterator[Finding]:
    """The warnings that the extension itself would give, by its own code, and the consequences of
    the settings.
    """
    read = encoded(variables)
    settings, export = Settings(read), ExportSettings(read)
    sampler = Sampler(settings.sampler, settings.sampler_argument)
    warned = [*settings.warnings, *export.warnings, *filter(None, [sampler.warning])]
    for text in dict.fromkeys(warned):
        is_lost = bool(_MALFORMED_ENDPOINT.match(text))
        yield Finding(
            "malformed-endpoint" if is_lost else "malformed-value",
            ERROR if is_lost else WARNING,
            _sentence(text),
            "Write it as https://collector.example:4318."
            if is_lost
            else "docs/settings.md says what it may be.",
        )
    names = {**read, **{name.encode(): b"" for name in unknown}}
    for text in unknown_names(names):
        is_near = "do you mean " in text
        yield Finding(
            "misspelled",
            WARNING,
            f"{text.partition(';')[0]}.",
            f"Do you mean {text.rpartition('do you mean ')[2]}"
            if is_near
            else "docs/settings.md has them all.",
        )
    for text in unused_names(read):
        yield Finding(
            "not-used", NOTE, _sentence(text), "Nothing needs to be done if others read them."
        )
    yield from check_settings(read, unknown)


def _check_secrets(subject: Subject) -> Iterator[Finding]:
    for name in secret_variables(subject.variables):
        is_public_text = not subject.is_deployed
        yield Finding(
            "plain-credentials",
            NOTE if subject.has_own_key and subject.is_deployed else WARNING,
            f"{name} holds credentials as plain text, for whoever may read the "
            + (
                "template and the function's configuration."
                if is_public_text
                else "function's configuration."
            ),
            "Write ${arn:aws:secretsmanager:…} in its place, which the extension looks up, or "
            "encrypt variables by a key "
            "of your own (KMSKeyArn) that few may use.",
        )


def secret_variables(variables: Mapping[str, str]) -> Iterator[str]:
    """The names of export variables that contain credentials, judged by their names."""
    for signal in ("", "TRACES_", "METRICS_"):
        headers = f"OTEL_EXPORTER_OTLP_{signal}HEADERS"
        fields = ExportSettings(
            {b"OTEL_EXPORTER_OTLP_HEADERS": variables.get(headers, "").encode()}
        ).traces.headers
        if any(
            _CREDENTIALS.search(name) and value and REFERENCE not in value
            for name, value in fields.items()
        ):
            yield headers
        endpoint = f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT"
        address = (
            variables.get(endpoint, "").partition("://")[2].partition("?")[0].partition("/")[0]
        )
        if "@" in address and REFERENCE not in address:
            yield endpoint


def destinations(
    variables: Mapping[str, str], unknown: frozenset[str] = frozenset()
) -> dict[str, str]:
    """The URL of each signal that is sent, by the signal's name; without those that are unknown."""
    export = ExportSettings(encoded(variables))
    found = {}
    for signal, settings in zip(_SIGNALS, (export.traces, export.metrics), strict=True):
        own = {f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", f"OTEL_{signal}_EXPORTER"}
        names = {ENDPOINT_VARIABLE, EXPORT_VARIABLE, *own}
        if settings.enabled and not settings.is_referenced_url and not names & unknown:
            found[signal.lower()] = settings.url
    return found


def references(variables: Mapping[str, str]) -> list[Reference]:
    """The secrets and parameters that the variables for the export refer to, each once."""
    export = ExportSettings(encoded(variables))
    signals = (export.traces, export.metrics, export.logs)
    texts = [text for own in signals if own.enabled for text in (own.url, *own.headers.values())]
    found = {each: Reference(each) for text in texts for each in references_in(text)}
    return [*{reference.arn: reference for reference in found.values()}.values()]


def _check_destination(subject: Subject) -> Iterator[Finding]:
    if not subject.has_all_variables or not Settings(subject.encoded).export_enabled:
        return
    for url in {*destinations(subject.variables, subject.unknown).values()}:
        _, host, port, _ = split_url(url)
        if is_loopback(host):
            yield from _check_loopback(subject, host, port)
        elif subject.is_in_vpc and is_public(host):
            yield Finding(
                "vpc",
                NOTE,
                f"The function is in a VPC, and {host} is outside: is there a route to it?",
                "A private subnet needs a NAT gateway or an endpoint of the VPC.",
            )


def _check_loopback(subject: Subject, host: str, port: int) -> Iterator[Finding]:
    others = (
        None
        if subject.layers is None
        else [layer for layer in subject.layers if layer.is_ours is False]
    )
    if (
        subject.is_image
        or others is None
        or any(layer.is_ours is None for layer in subject.layers or ())
    ):
        return
    is_set = any(
        name.endswith("_ENDPOINT") and name.startswith("OTEL_EXPORTER_OTLP")
        for name in subject.variables
    )
    where = f"{host}:{port}" if is_set else f"{host}:{port}, since no endpoint is set"
    if others:
        yield Finding(
            "loopback",
            NOTE,
            f"Telemetry goes to {where}.",
            "One of the other layers must hold a collector that listens there.",
        )
    else:
        yield Finding(
            "loopback",
            WARNING,
            f"Telemetry goes to {where}, and no other layer is there that could hold a collector.",
            f"Set {ENDPOINT_VARIABLE}, or add a collector's layer.",
        )


def _check_surroundings(subject: Subject) -> Iterator[Finding]:
    if subject.is_traced_by_xray:
        yield Finding(
            "x-ray",
            NOTE,
            "X-Ray traces the function too: an invocation that has no caller's trace has the same "
            "trace id in both, and what "
            "X-Ray samples passes on X-Ray's segment as the parent to AWS's services, not "
            "our span.",
            "LRAP_XRAY_HEADER=always makes our span the parent; tracing PassThrough leaves the "
            "traces to us alone.",
        )
    if subject.has_snap_start and not subject.publishes_versions:
        yield Finding(
            "snap-start",
            NOTE,
            "SnapStart serves published versions, which keep the layer and the variables they were "
            "published with.",
            "Publish a version after each change (`lrap-otel instrument --publish`).",
        )
    if subject.is_managed_instances and not subject.publishes_versions:
        yield Finding(
            "managed-instances",
            NOTE,
            "Managed Instances run published versions, which keep the layer and the variables they "
            "were published with.",
            "Publish a version after each change (`lrap-otel instrument --publish`).",
        )
    if not subject.is_managed_instances:
        yield from check_memory(subject.memory_mb)


def check_memory(memory_mb: int | None) -> Iterator[Finding]:
    """Whether the function has enough of a CPU to start, which depends on its memory."""
    if memory_mb and memory_mb < LOW_MEMORY_MB:
        share = memory_mb / MB_OF_A_CPU
        yield Finding(
            "memory",
            WARNING,
            f"{memory_mb} MB are {share:.0%} of a CPU, and our {START_CPU_S * 1_000:.0f} ms of CPU "
            f"until the first span "
            f"is out may take {START_CPU_S / share:.1f} s there, part of it billed.",
            f"Give it {LOW_MEMORY_MB} MB, which often costs no more since the function is "
            f"faster, too.",
        )


def _sentence(text: str) -> str:
    first = text if text.startswith(("LRAP_", "OTEL_", "AWS_")) else text[:1].upper() + text[1:]
    return f"{first.rstrip('.')}."
