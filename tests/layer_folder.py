"""A folder as /opt is with our layer, and the extension started in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.ports import free_port
from tests.upstream import TIMEOUT_S, Upstream

ROOT = Path(__file__).parents[1]
REGISTERED = b"HTTP/1.1 200 OK\r\nlambda-extension-identifier: me\r\nContent-Length: 2\r\n\r\n{}"
SHUTDOWN = b'{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":1}'
NEXT = b"GET /2020-01-01/extension/event/next HTTP/1.1\r\n"


class Layer:
    """A folder as /opt is, with an extension that is started in it; PATH holds `commands` alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "extensions").mkdir(parents=True)
        shutil.copytree(
            ROOT / "lrap_otel", root / "lrap_otel", ignore=shutil.ignore_patterns("__pycache__")
        )
        self.entrypoint = root / "extensions/lrap-otel"
        shutil.copy(ROOT / "opt/entrypoint", self.entrypoint)
        self.commands = root / "commands"
        self.commands.mkdir()
        for name in ("sleep", "uname", "bash"):
            self.add(name, Path(shutil.which(name) or ""))
        self.api = Upstream()
        self.process: subprocess.Popen[bytes] | None = None

    def add(self, name: str, command: Path) -> None:
        (self.commands / name).symlink_to(command)

    def name_interpreter(self, path: Path | str, *, end: str = "\n") -> None:
        (self.root / ".lrap-paths").write_text(f"LRAP_PYTHON={path}{end}", newline="")

    def start(self, shell: list[str], **variables: str) -> None:
        told = {"PATH": str(self.commands), "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.api.port}"}
        # /tmp is everybody's, and nobody plays the Telemetry API.
        told |= {"LRAP_SPOOL_BYTES": "0", "LRAP_TELEMETRY_API": "off", **variables}
        told.setdefault("LRAP_LISTENER_PORT", str(free_port()))
        command = [shutil.which(shell[0]) or "", *shell[1:], str(self.entrypoint)]
        self.process = subprocess.Popen(command, env=told, stderr=subprocess.PIPE)

    def live(self) -> tuple[bytes, str]:
        """From its registration to its end after SHUTDOWN: the head of the register request, and
        what it printed.
        """
        lambda_side = self.api.accept()
        request, _ = lambda_side.read_message()
        lambda_side.send(REGISTERED)
        if lambda_side.has_news(TIMEOUT_S) and lambda_side.has_ended():
            lambda_side = self.api.accept()  # the last resort makes a connection for each call
        asked = lambda_side.read_head()
        assert asked.startswith(NEXT)
        assert b"\r\nLambda-Extension-Identifier: me\r\n" in asked
        assert self.process is not None
        assert self.process.poll() is None
        lambda_side.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(SHUTDOWN), SHUTDOWN)
        )
        _, errors = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, errors
        assert not self.api.has_caller(), "it registered twice"
        return request, errors.decode()

    def close(self) -> None:
        self.api.close()
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
