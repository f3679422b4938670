"""A resolver that never answers. tests/layer/test_layer_resolver.py has the system's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import silent_resolver


def test_a_resolver_that_never_answers_costs_the_other_signal_nothing_and_nobody_waits() -> None:
    ended = subprocess.run(
        [sys.executable, silent_resolver.__file__, "stand-in"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{Path(__file__).parents[2]}:{Path(__file__).parent}"},
        timeout=100,
        check=False,
    )
    said = ended.stdout.splitlines()
    assert said[:6] == silent_resolver.EXPECTED, ended.stderr
    assert said[6].endswith(f": 1 span; the last because {silent_resolver.REASON}")
