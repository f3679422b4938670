"""Which span an event names as its parent."""

from lrap_otel.propagation import b3, w3c, xray
from lrap_otel.propagation.context import SpanContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.propagation.carrier.model import Headers

# Of which the second names no parent.
DEFAULT_PROPAGATORS = ("tracecontext", "baggage")


def parent_of(
    propagators: tuple[str, ...], headers: "Headers", from_runtime: xray.XRayHeader | None = None
) -> SpanContext | None:
    """The parent that OpenTelemetry's composite propagator for ``OTEL_PROPAGATORS`` finds, None for
    a root.

    `headers` are the carrier's, names lower-cased. `from_runtime` is what
    ``Lambda-Runtime-Trace-Id`` says, which ``xray-lambda`` alone asks. The propagators run in
    order, and each that finds a parent overrides those before it.
    """
    if propagators == DEFAULT_PROPAGATORS:
        return w3c.extract(headers)
    if "none" in propagators:
        return None
    parent = None
    for name in propagators:
        if name == "tracecontext":
            parent = w3c.extract(headers) or parent
        elif name in {"b3", "b3multi"}:
            parent = b3.extract(headers) or parent
        elif name == "xray":
            parent = _from_xray(headers, parent)
        elif name == "xray-lambda":
            parent = _from_xray(headers, parent) if parent else _from_runtime(headers, from_runtime)
    return parent


def _from_xray(headers: "Headers", parent: SpanContext | None) -> SpanContext | None:
    value = headers.get("x-amzn-trace-id", "")
    found = xray.context_of(xray.parse(value)) if value else None
    if found is None:
        return parent
    # X-Ray's header has no room for a tracestate; that of an earlier propagator is only good for
    # its own trace.
    if parent is not None and parent.trace_id_hex == found.trace_id_hex:
        found.trace_state = parent.trace_state
    return found


def _from_runtime(headers: "Headers", header: xray.XRayHeader | None) -> SpanContext | None:
    """What Lambda says goes before what the carrier says.

    Its ``Sampled=0`` does not count: where X-Ray does not trace the function, Lambda writes that
    with a made-up Parent, and nobody decided it.
    """
    return (xray.context_of(header) if header and header.sampled else None) or _from_xray(
        headers, None
    )
