"""Puts the newest results into the documentation: ``python -m bench.docs``.

In ``docs/development/benchmarks.md`` everything between ``<!-- bench:NAME -->`` and ``<!-- /bench
-->`` is replaced by the tables of that group in ``bench/build/results``, if there are any; plots
are copied next to it.
"""

from __future__ import annotations

import re
from shutil import copy
from typing import TYPE_CHECKING

from bench.results import RESULTS
from bench.targets import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_SECTION = re.compile(r"(<!-- bench:([a-z-]+) -->\n)(.*?)(<!-- /bench -->)", re.DOTALL)


def with_results(document: str, results: Path) -> str:
    """The document with the tables that `results` has, all others as they were."""

    def section(match: re.Match[str]) -> str:
        path = results / f"{match[2]}.md"
        tables = path.read_text(encoding="utf-8") if path.exists() else match[3]
        return f"{match[1]}{tables}{match[4]}"

    return _SECTION.sub(section, document)


def main() -> None:
    """Rewrite the document and copy the plots."""
    docs = ROOT / "docs/development"
    document = docs / "benchmarks.md"
    document.write_text(
        with_results(document.read_text(encoding="utf-8"), RESULTS), encoding="utf-8"
    )
    for plot in sorted(RESULTS.glob("*.svg")):
        copy(plot, docs / plot.name)


if __name__ == "__main__":
    main()
