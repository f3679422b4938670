"""Durable functions: one execution is many invocations, whose spans AWS's OpenTelemetry plugins put
into one trace.

Each invocation exports the span of the whole workflow again, with the same id. Its parent is the
span in ``Lambda-Runtime-Trace-Id``, which is the same in each invocation, so for these functions
that header is not changed.

Source: aws-durable-execution-sdk-python-otel 2.0.0, "xray_context_extractor",
"ExecutionTraceContext".
"""

from lrap_otel.text import json_scan

_ARN, _ARN_MEMBER = "DurableExecutionArn", b'"DurableExecutionArn"'
# One of these is a member too; without them the event is a call that mentions an execution.
_OTHER_MEMBERS = b'"CheckpointToken"', b'"InitialExecutionState"'


def is_invocation(event: "bytes | memoryview") -> bool:
    """Whether the event is an invocation of a durable function: ``DurableExecutionArn`` is one of
    its own members.

    An event of any size can be checked: only the text before that name, which comes first, is read.
    """
    event = bytes(event)
    at = event.find(_ARN_MEMBER)
    if at < 0 or not any(event.find(name) >= 0 for name in _OTHER_MEMBERS):
        return False
    start = event[: event.find(b":", at) + 2].decode("latin-1")
    try:
        return _ARN in json_scan.members(start, json_scan.after_space(start, 0), _ARN, -1)
    except ValueError:
        return False
