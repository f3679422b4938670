"""What a run leaves in ``bench/build/results``: one Markdown file for each group, and plots;
`bench.docs` takes them from there.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from bench import machine
from bench.compiled import BUILD
from bench.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS = BUILD / "results"


def keep_tables(group: str, tables: Sequence[Table | str], command: str) -> None:
    """Write the tables of a group, under a line that says when, where and how they were
    measured.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    parts = [f"{_provenance()}, `{command}`:", *map(_markdown, tables)]
    (RESULTS / f"{group}.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def keep_plot(name: str, svg: str) -> None:
    """Write a plot."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.svg").write_text(svg, encoding="utf-8")


def _provenance() -> str:
    day = datetime.now(timezone.utc).date().isoformat()
    return f"{day}, {', '.join(f'{name} {value}' for name, value in machine.description().items())}"


def _markdown(table: Table | str) -> str:
    return table.markdown() if isinstance(table, Table) else f"```\n{table}\n```"
