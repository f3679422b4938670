"""The processes of an extension. Its shell may wait for the proxy process, whose child is the
telemetry process.
"""

from __future__ import annotations

from pathlib import Path


def children(process_id: int) -> list[int]:
    """The children of a process, started by any of its threads; empty if it has ended."""
    try:
        tasks = list(Path(f"/proc/{process_id}/task").iterdir())
        return [
            int(child)
            for task in tasks
            for child in (task / "children").read_text(encoding="ascii").split()
        ]
    except OSError:
        return []


def command_line(process_id: int) -> bytes:
    """Its arguments, each followed by a NUL; empty if it has ended."""
    try:
        return Path(f"/proc/{process_id}/cmdline").read_bytes()
    except OSError:
        return b""


def proxies_of(process_id: int) -> list[int]:
    """The proxy processes among a process and its descendants."""
    if b"lrap_otel/__main__.py" in command_line(process_id):
        return [process_id]
    return [proxy for child in children(process_id) for proxy in proxies_of(child)]
