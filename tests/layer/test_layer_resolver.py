"""The system's own resolver, asking a name server that never answers: as root, in namespaces.

The folder of what takes root; `make test` has tests/telemetry/test_export_resolver.py, with a
resolver that stands in.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.telemetry.silent_resolver import EXPECTED, REASON

ROOT = Path(__file__).parents[2]
# In namespaces of its own: the name server is the loopback, and only the test's resolv.conf is
# read.
ALONE = ("unshare", "--mount", "--net", "sh", "-c")
PREPARED = 'ip link set lo up && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
CONFIGURATION = "nameserver 127.0.0.1\noptions timeout:10 attempts:2\n"


def test_a_name_server_that_never_answers_costs_the_other_signal_nothing_and_nobody_waits_for_it(
    tmp_path: Path,
) -> None:
    configuration = tmp_path / "resolv.conf"
    configuration.write_text(CONFIGURATION)
    program = ROOT / "tests/telemetry/silent_resolver.py"
    ended = subprocess.run(
        [*ALONE, PREPARED, "sh", configuration, sys.executable, program, "name-server"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/tests/telemetry"},
        timeout=100,
        check=False,
    )
    said = ended.stdout.splitlines()
    assert said[:6] == EXPECTED, ended.stderr
    assert said[6].endswith(f": 1 span; the last because {REASON}")
