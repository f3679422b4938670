"""A Python whose matcher is unknown, or refuses: events are traced all the same, each of them
parsed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.proxy.wire import ACCEPTED, NEXT, event, post, result_target
from tests.upstream import connect, field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.upstream import Upstream

SERVE = """if True:
    import _sre, _thread, sys
    def refuse(*_):
        raise RuntimeError("invalid SRE code")
    if sys.argv[3] == "unknown":
        _sre.MAGIC = 1  # as of a version to come
    elif sys.argv[3].startswith("refuses"):
        _sre.compile = refuse
    sys.path.insert(0, sys.argv[1])
    from tests.proxy.serve import made, main
    assert "lrap_otel.text.patterns" not in sys.modules
    _thread.start_new_thread(main, (int(sys.argv[2]), 0))
    sys.stdin.read()
    (heads, events), = made
    print("re" in sys.modules, len(events.known), len(heads.events.known), len(heads.results.known), len(heads.answers.known))
"""
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
BODY = f'{{"headers":{{"traceparent":"{PARENT}"}},"requestContext":{{"http":{{}}}},"rawPath":"/"}}'.encode()


@pytest.fixture(params=["unknown", "refuses", "refuses the first head", "known"])
def child(request: pytest.FixtureRequest, upstream: Upstream) -> Iterator[subprocess.Popen[str]]:
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", SERVE, root, str(upstream.port), str(request.param)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_events_are_traced_whatever_the_matcher_says(
    child: subprocess.Popen[str], upstream: Upstream, request: pytest.FixtureRequest
) -> None:
    assert child.stdout is not None
    runtime = connect(int(child.stdout.readline()))
    api = None
    is_bare = "the first head" in request.node.name
    for number in range(5):
        request_id = f"{number}476a536-e9f4-11e8-9739-2dfe598c3fcd".encode()
        runtime.send(NEXT)
        api = api or upstream.accept()
        assert api.read_head() == NEXT
        x_ray = b"Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0\r\n"
        # Without that field and without headers, the reply's own pattern is the first that is
        # compiled.
        api.send(event(request_id, b"{}") if is_bare else event(request_id, BODY, x_ray))
        head, body = runtime.read_message()
        traceparent = field(head, "traceparent")
        assert traceparent is not None
        assert is_bare or (
            traceparent.startswith(f"00-{TRACE_ID}-".encode()) and traceparent in body
        )
        result = post(result_target(request_id), b"{}")
        runtime.send(result)
        assert api.read(len(result)) == result
        api.send(ACCEPTED)
        assert runtime.read(len(ACCEPTED)) == ACCEPTED
    runtime.close()
    has_patterns = "known" in request.node.name.replace("unknown", "")
    # Nothing is said: it is no fault of ours.
    assert child.communicate("", timeout=10) == (
        f"False {' '.join(['1' if has_patterns else '0'] * 4)}\n",
        "",
    )
