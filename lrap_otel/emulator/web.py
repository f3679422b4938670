"""An aiohttp application that listens on this machine alone."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

THIS_MACHINE = {"127.0.0.1", "localhost", "::1"}


@web.middleware
async def no_other_sites(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what a page of another site sends from the user's browser: it has an Origin, or, if a
    name of its own leads to this machine, another Host.
    """
    origin = request.headers.get("Origin")
    if urlsplit(f"//{request.host}").hostname not in THIS_MACHINE or origin not in {
        None,
        f"http://{request.host}",
    }:
        raise web.HTTPForbidden(
            text="only this machine's own pages and programs may use this address"
        )
    return await handler(request)


async def read_body(request: web.Request, limit_bytes: int) -> bytes:
    """The body. Raises ``HTTPRequestEntityTooLarge`` if it is longer, and not before its end, so
    that a client that sends it whole before it reads gets the answer.
    """
    pieces = []
    size_bytes = 0
    async for piece in request.content.iter_any():
        size_bytes += len(piece)
        if size_bytes <= limit_bytes:
            pieces.append(piece)
    if size_bytes > limit_bytes:
        raise web.HTTPRequestEntityTooLarge(limit_bytes, size_bytes)
    return b"".join(pieces)


class WebServer:
    """One aiohttp application on 127.0.0.1."""

    def __init__(self, application: web.Application) -> None:
        # Bodies as they were sent: aiohttp's own decompression turns a bad one into a traceback.
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=0.1, auto_decompress=False
        )
        self.port = 0

    async def start(self, port: int) -> None:
        """Listen; ``port`` 0 is any free one, ``self.port`` says which."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening and drop what is connected."""
        await self._runner.cleanup()
