"""``emulate`` with nothing but a handler: the function's own interpreter and its real runtime
client are found.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conformance.clients import each

if TYPE_CHECKING:
    from tests.conformance.clients import Client

ROOT = Path(__file__).parents[2]


@each("node")
def test_a_handler_in_the_current_folder_is_run_and_traced(client: Client, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text('{"do": "return", "pet": 42}')
    words = ["emulate", "index.handler", "--require-traces", "--event", str(event)]
    ended = subprocess.run(
        [sys.executable, "-m", "lrap_otel.emulator", *words],
        cwd=client.cwd,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert '"pet": 42' in ended.stdout
