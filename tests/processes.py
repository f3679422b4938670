"""Which process of an extension is which. Its shell may wait for the proxy process, whose child is the telemetry process."""

from __future__ import annotations

from pathlib import Path


def children(process_id: int) -> list[int]:
    """The children of a process, whichever of its threads started them; none where it has ended."""
    try:
        tasks = list(Path(f"/proc/{process_id}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text(encoding="ascii").split()]
    except OSError:
        return []


def command_line(process_id: int) -> bytes:
    """Its arguments, each with a NUL behind it; empty where it has ended."""
    try:
        return Path(f"/proc/{process_id}/cmdline").read_bytes()
    except OSError:
        return b""


def proxies_of(process_id: int) -> list[int]:
    """The proxy processes among a process and all that descend from it."""
    if b"lrap_otel/__main__.py\0" in command_line(process_id):
        return [process_id]
    return [proxy for child in children(process_id) for proxy in proxies_of(child)]
