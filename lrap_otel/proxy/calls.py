"""What a runtime asks for: its requests, read as calls of the Runtime API."""

from lrap_otel.http1.heads import Request

NEXT = b"/2018-06-01/runtime/invocation/next"
INVOCATION = b"/2018-06-01/runtime/invocation/"
INIT_ERROR_PATH = b"/2018-06-01/runtime/init/error"
RESTORE_NEXT = b"/2018-06-01/runtime/restore/next"
HELLO_PATH = b"/lrap-otel/hello"
INVOCATION_ID = b"lambda-runtime-invocation-id"

# Kinds of calls. Whatever is none of these is passed on as it is.
POLL, RESULT, ERROR, INIT_ERROR, RESTORE, HELLO, OTHER = range(7)
_GETS = {NEXT: POLL, RESTORE_NEXT: RESTORE, HELLO_PATH: HELLO}
_ENDPOINTS = {b"response": RESULT, b"error": ERROR}


class ParsedCall(Request):
    """A request of the runtime.

    `request_id` and `invocation_id` are those that a result or an error names.
    """

    __slots__ = ("invocation_id", "kind", "request_id")
    is_recognised = False

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.kind = OTHER
        self.request_id = self.invocation_id = ""
        path = self.path
        if self.method == b"GET":
            self.kind = _GETS.get(path, OTHER)
        elif self.method == b"POST" and path.startswith(INVOCATION):
            request_id, _, endpoint = path[len(INVOCATION) :].partition(b"/")
            self.kind = _ENDPOINTS.get(endpoint, OTHER)
            if self.kind != OTHER:
                self.request_id = request_id.decode("latin-1")
                self.invocation_id = self.fields.get(INVOCATION_ID, b"").decode("latin-1")
        elif self.method == b"POST" and path == INIT_ERROR_PATH:
            self.kind = INIT_ERROR
