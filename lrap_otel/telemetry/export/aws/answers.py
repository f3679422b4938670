"""What AWS's refusals mean, and what to do about each: the answers that people get wrong.

Sources: Amazon CloudWatch, "OTLP endpoints" (limits, "Troubleshooting") and "Transaction Search";
AWS, "Troubleshoot Signature Version 4 signing".
"""

from lrap_otel.telemetry.export.aws.hosts import SIGNALS, otlp_endpoint

_ACTIONS = {
    "xray": ("xray:PutTraceSegments", "xray:PutSpans", "xray:PutSpansForIndexing"),
    "logs": ("logs:PutLogEvents",),
    "monitoring": ("cloudwatch:PutMetricData",),
}
# What it takes to read a secret, and a parameter.
READ_ACTIONS = {"secretsmanager": "secretsmanager:GetSecretValue", "ssm": "ssm:GetParameter"}
_LIMITS = {
    "xray": "a request may have 5 MB and 10,000 spans, a span 200 KB",
    "logs": "a request may have 1 MB and 10,000 records",
    "monitoring": "a request may have 1 MB and 1,000 data points",
}
TRANSACTION_SEARCH = (
    "X-Ray takes OTLP once Transaction Search is on, a switch of the whole account and region: "
    "aws xray update-trace-segment-destination --destination CloudWatchLogs"
)
# Of an account that has Transaction Search off: each of these has been the wording.
_NO_TRANSACTION_SEARCH = ("transaction search", "trace segment destination")
# The request is older than AWS allows, or of the future: it was frozen on the way, or a clock is
# wrong.
_STALE = (
    "signature expired",
    "signature not yet current",
    "requestexpired",
    "requesttimetooskewed",
)
_EXPIRED = ("expiredtoken", "token included in the request is expired", "token has expired")
_FORGED = ("signaturedoesnotmatch", "signature we calculated does not match", "invalidsignature")


def statement(actions: "tuple[str, ...]", resource: str = "*") -> str:
    """An IAM policy's statement that allows them."""
    quoted = ",".join(f'"{action}"' for action in actions)
    listed = f"[{quoted}]" if len(actions) > 1 else quoted
    return f'{{"Effect":"Allow","Action":{listed},"Resource":"{resource}"}}'


def advice(service: str, region: str, status: int, text: str, path: str) -> str:
    """What to do about a status that is no success, in one line; empty if nobody knows.

    `service` is one of the three that take OTLP, `text` what the answer's body says, `path` the
    request's.
    """
    if service == "xray" and _has(text, _NO_TRANSACTION_SEARCH):
        return TRANSACTION_SEARCH
    for words, meaning in (
        (_STALE, "the request was under way too long, or a clock is wrong; it is signed anew"),
        (_EXPIRED, "the credentials have expired"),
        (
            _FORGED,
            "the secret key is not that of the access key, or a proxy changes requests on the way",
        ),
    ):
        if _has(text, words):
            return meaning
    if status in {404, 405}:
        return _right_address(service, region, path)
    signal = SIGNALS[service]
    by_status = {
        401: f"allow the function's role {statement(_ACTIONS[service])}",
        403: f"allow the function's role {statement(_ACTIONS[service])}",
        413: _LIMITS[service],
        429: f"AWS limits what an account sends of {signal}: sample (OTEL_TRACES_SAMPLER), or ask "
        f"for a higher quota",
    }
    return by_status.get(status, "")


def is_stale(text: str) -> bool:
    """Whether the request's signature was right, and too old or too new."""
    return _has(text, _STALE)


def is_expired(text: str) -> bool:
    """Whether the credentials are no longer valid."""
    return _has(text, _EXPIRED)


def _has(text: str, words: "tuple[str, ...]") -> bool:
    lower = text.lower()
    return any(each in lower for each in words)


def _right_address(service: str, region: str, path: str) -> str:
    signal = SIGNALS[service]
    bare = path.partition("?")[0]  # a query may hold a secret
    right = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT={otlp_endpoint(signal, region)}"
    if bare.count("/v1/") > 1:
        return f"the path {bare[:60]} is doubled; set {right}"
    if bare != f"/v1/{signal}":
        return f"{service} takes {signal} alone, and at /v1/{signal}; set {right}"
    if service == "logs":
        return "the log group and the stream of x-aws-log-group and x-aws-log-stream must be there"
    return ""
