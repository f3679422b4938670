"""Scripted runtimes and extensions: small programs on bare sockets."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel.emulator import Config

if TYPE_CHECKING:
    from collections.abc import Callable

# To sh, a line that does nothing and an exec; to Python, a string. A `#!` line would end at a space
# in the interpreter's path.
PREAMBLE = f"""#!/bin/sh
''':'
exec "{sys.executable}" -S "$0" "$@"
'''
import sys, os, time, signal, json
sys.path.insert(0, {str(Path(__file__).parent)!r})
from lambda_wire import *
client = Client()
"""

ECHO = """
while True:
    event = client.next()
    client.respond(event["Lambda-Runtime-Aws-Request-Id"], event.body)
"""

GOOD_EXTENSION = """
me = client.register(os.path.basename(sys.argv[0]))["Lambda-Extension-Identifier"]
while True:
    event = json.loads(client.next_event(me).body)
    print(json.dumps(event), flush=True)
    if event["eventType"] == "SHUTDOWN":
        sys.exit(0)
"""


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write an executable program below ``tmp_path``; it starts with a connected ``client``."""

    def write(name: str, source: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PREAMBLE + source)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return write


@pytest.fixture
def config(script: Callable[[str, str], Path], tmp_path: Path) -> Callable[..., Config]:
    """A configuration from the sources of a runtime and its extensions."""

    def make(
        source: str = ECHO, extensions: dict[str, str] | None = None, **settings: Any
    ) -> Config:
        files = {
            name: script(f"extensions/{name}", source)
            for name, source in (extensions or {}).items()
        }
        command = [sys.executable, "-S", str(script("runtime.py", source))]
        return Config(command=command, cwd=tmp_path, extensions=files, **settings)

    return make


@pytest.fixture
def good_extension() -> str:
    return GOOD_EXTENSION
