"""The run as a table: a line for each case, a column for each client."""

from __future__ import annotations

from tests.conformance.clients import NAMES

WIDTH = max(map(len, NAMES)) + 2


class Matrix:
    """How each case went with each client; a case with several parameters is as good as
    its worst.
    """

    def __init__(self) -> None:
        self._cells: dict[str, dict[str, str]] = {}

    def add(self, node_id: str, *, is_good: bool) -> None:
        """One test that has run; those that are not about a client are left out."""
        case, _, parameters = node_id.rpartition("::")[2].removesuffix("]").partition("[")
        client = parameters.partition("-")[0]
        if client in NAMES:
            cells = self._cells.setdefault(case.removeprefix("test_").replace("_", " "), {})
            cells[client] = "ok" if is_good and cells.get(client, "ok") == "ok" else "FAILED"

    def lines(self) -> list[str]:
        """The table; nothing if nothing has run. A client that cannot do what the case asks has an
        empty cell.
        """
        if not self._cells:
            return []
        head = "".join(name.ljust(WIDTH) for name in NAMES)
        return [
            head,
            *("".join(_columns(cells)) + case for case, cells in sorted(self._cells.items())),
        ]


def _columns(cells: dict[str, str]) -> list[str]:
    return [cells.get(name, "").ljust(WIDTH) for name in NAMES]
