"""A headless Chromium, driven over its DevTools protocol: real keys, its accessibility tree,
screenshots.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import signal
import tempfile
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
KEYS = {
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    "Backspace": ("Backspace", 8, ""),
    "Tab": ("Tab", 9, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "End": ("End", 35, ""),
    "Home": ("Home", 36, ""),
    " ": ("Space", 32, " "),
}
CONTROL = 2


def program() -> str:
    """The browser that this machine has."""
    for name in PROGRAMS:
        if found := shutil.which(name):
            return found
    return pytest.fail("no Chromium: apt-get install chromium-headless-shell")


class Browser:
    """``async with Browser() as browser``: one window."""

    async def __aenter__(self) -> Self:
        self._folder = tempfile.mkdtemp(prefix="lrap-browser-")
        options = [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--hide-scrollbars",
        ]
        self._process = await asyncio.create_subprocess_exec(
            program(),
            "--headless",
            *options,
            f"--user-data-dir={self._folder}",
            "--remote-debugging-port=0",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stderr
        where = None
        while where is None:
            line = await self._process.stderr.readline()
            assert line, "Chromium did not start"
            where = re.search(rb"ws://([\d.:]+)/", line)
        self._session = aiohttp.ClientSession()
        # What it prints later is thrown away, so that its pipe does not fill.
        self._drain = asyncio.ensure_future(self._process.stderr.read())
        async with self._session.get(f"http://{where[1].decode()}/json/list") as answer:
            target = next(one for one in await answer.json() if one["type"] == "page")
        self._socket = await self._session.ws_connect(
            target["webSocketDebuggerUrl"], max_msg_size=0
        )
        self._number = 0
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Accessibility"):
            await self.call(f"{domain}.enable")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._socket.close()
        await self._session.close()
        # Its helpers hold the pipe as well.
        os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await self._drain
        shutil.rmtree(self._folder, ignore_errors=True)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One call; what the page logs as an error meanwhile goes to ``errors``."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = json.loads((await self._socket.receive(timeout=30)).data)
            if message.get("id") == self._number:
                assert "error" not in message, message
                return dict(message["result"])
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(parameters["exceptionDetails"]))
        if message.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(parameters["entry"]["text"])

    async def open(
        self, url: str, width: int = 1280, height: int = 900, *, is_dark: bool = False
    ) -> None:
        """Load a page in a window of that size."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call("Page.navigate", url=url)
        await self.until(
            f"document.readyState === 'complete' && location.href.startsWith({json.dumps(url)})"
        )

    async def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        answer = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, script: str) -> Any:
        """The value of an expression, once it is true."""
        for _ in range(1500):
            if value := await self.run(script):
                return value
            await asyncio.sleep(0.02)
        text = await self.run("document.body?.innerText")
        raise AssertionError(f"{script} did not come true in\n{text}\n{self.errors}")

    async def press(self, key: str, modifiers: int = 0) -> None:
        """One key, as the keyboard sends it."""
        code, number, text = (
            KEYS[key] if key in KEYS else (f"Key{key.upper()}", ord(key.upper()), key)
        )
        about: dict[str, Any] = {
            "key": key,
            "code": code,
            "windowsVirtualKeyCode": number,
            "modifiers": modifiers,
        }
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    async def type(self, text: str) -> None:
        """A text into whatever has the focus."""
        await self.call("Input.insertText", text=text)

    async def tree(self) -> list[tuple[str, str]]:
        """Role and name of everything that a screen reader finds."""
        nodes = (await self.call("Accessibility.getFullAXTree"))["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node.get("ignored") and "role" in node
        ]

    async def screenshot(self) -> bytes:
        """The window as a PNG."""
        answer = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(answer["data"])
