"""What events and client contexts are made of: names in every spelling, values, and what is no JSON
at all.
"""

# ruff's formatter would give each word a line of its own.
# fmt: off
TRACE_NAMES = (
    "traceparent", "Traceparent", "TRACEPARENT", "tracestate", "TraceState", "x-amzn-trace-id", "X-Amzn-Trace-Id", "b3", "B3",
    "x-b3-traceid", "X-B3-TraceId", "x-b3-spanid", "x-b3-sampled", "x-b3-flags", "baggage",
)
OTHER_NAMES = (
    "a", "", "host", "é", "😀", 'q"', "back\\slash", "xtraceparent", "traceparent ", 'q"traceparent', "x-headers", "body", "\u017f",
)
EVENT_NAMES = (
    "headers", "multiValueHeaders", "requestContext", "request", "info", "arguments", "raw_path", "method", "httpMethod", "rawPath",
    "requestHeaders", "params", "typeName", "fieldName",
)
BATCHES = ("Records", "records", "eventSource", "invocationId")
SHAPES = (
    ("requestContext", "headers"),
    ("headers", "requestContext", "httpMethod"),
    ("rawPath", "headers", "requestContext", "body"),
    ("multiValueHeaders", "requestContext"),
    ("headers", "multiValueHeaders", "requestContext"),
    ("requestContext", "multiValueHeaders", "headers", "httpMethod"),
    ("raw_path", "method", "headers"),
    ("headers", "method", "raw_path", "body"),
    ("arguments", "request", "info"),
    ("info", "request", "headers", "arguments"),
    ("request", "info"),
    ("typeName", "fieldName", "request"),
    ("requestHeaders", "requestContext"),
    ("headers",),
    ("body", "headers", "method"),
    ("body-json", "params", "context"),
    (),
)
STRINGS = (
    "", "x", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1,b=2", "é", "😀", '"', "\\", "}", "{", "\n",
    '"headers":{', '"traceparent":"', "null", "\x7f", "\x00", "\u2028",
)
SCALARS = (
    "null", "true", "false", "0", "-1", "1.5e3", "1e400", "-0", "NaN", "-Infinity", "9" * 400, "123456789012345678901",
)
BROKEN = (
    "01", "nul", "'x'", "", "-", '"', '"\\ud8"', '"\\x"', "[", "{", "}", '"\n"', "+1", "1.", "\ufeff{}",
)
SPACES = ("", "", "", "", " ", "\n", "\t", "\r\n", " " * 70, "\n    ")
ENDINGS = (*[""] * 20, " ", "\n", "}", "x", ",", "\x00", '{"headers":{}}')
ODD_ESCAPES = ("\\ud800", "\\udc00\\ud800", "\\u0000", "\\/", "\\u00E9")

PIECES = [piece.encode() for piece in (
    *(f'"{name}"' for name in TRACE_NAMES), *(f'"{name}":' for name in (*EVENT_NAMES, *BATCHES, "w3c", "custom")),
    *SCALARS, *BROKEN, *ODD_ESCAPES, '"headers":{', '"headers":{}', '"headers":null', '"multiValueHeaders":{"a":["b"]}',
    '"requestContext":{}', '"channel":{}', '"fieldName":"f"', '"params":{"header":{', '"info":{"channel":{}}', '"requestContext":{', '"\\u0068eaders":{}', '"heade\\u0072s":{}', '"\\u0074raceparent":"1"',
    '"traceparent":"1",', '"traceparent":"1","traceparent":"1",', '"Traceparent":["1"],', '"TRACESTATE":"a=1"', '"w3c":{"baggage":"u=1"}', '"custom":{', "\\", '"',
    "{", "}", "[", "]", ",", ":", " ", "\n", '{"', '"}', '":"', '","', '\\"', "\\\\", "}}", '"headers" :', "[" * 60, '{"a":' * 60,
)]
# No UTF-8, or only a part of it.
PIECES += [
    b"\xff", b"\xc3", b"\xc3\xa9", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x00", b"\xe2\x80\xa8", b"\x80", b"\xf0\x9f", b"\xc0\xaf",
]

CLIENT_CONTEXTS = [
    b"{}",
    b'{"custom":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","k":"v"},"env":{"locale":"de"}}',
    b'{"client":{"app_title":"t"},"w3c":{"traceparent":"1","tracestate":"a=1","baggage":"u=\\u00e9"},"custom":{"X-Amzn-Trace-Id":"1"}}',
]
# fmt: on
