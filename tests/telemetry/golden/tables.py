"""The plain-text tables of this folder: cases, each with lines of ``key = JSON``. README.md shows
one.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE = Path(__file__).parent
EXPECTED = HERE / "expected"
SPANS = HERE / "spans"
COMMON = "every event below"
_INDENT = "    "


class Case(NamedTuple):
    """One event and what is said of it. `entries`: JSON text by key; `without`: names, or groups
    like ``url.*``.
    """

    name: str
    entries: Mapping[str, str]
    without: tuple[str, ...] = ()

    @property
    def event_path(self) -> str:
        """Below ``tests/data``."""
        return f"{self.name.split(' (')[0]}.json"

    def forbids(self, key: str) -> bool:
        """Whether `key` must not be there: a case's own line wins over what its file
        says of all.
        """
        return key not in self.entries and any(
            fnmatchcase(key, pattern) for pattern in self.without
        )


def read_cases(path: Path) -> list[Case]:
    """The cases of one file, each with what its file says of every event."""
    common, *cases = _blocks(path.read_text(encoding="utf-8"))
    return [_with_common(case, common) for case in cases]


def _with_common(case: Case, common: Case) -> Case:
    inherited = {key: value for key, value in common.entries.items() if not case.forbids(key)}
    return Case(case.name, inherited | case.entries, common.without + case.without)


def write_cases(path: Path, cases: list[Case]) -> None:
    """What all `cases` have in common goes to the top."""
    common = [
        line
        for line in cases[0].entries.items()
        if all(line in case.entries.items() for case in cases)
    ]
    own = [
        (case.name, [line for line in case.entries.items() if line not in common]) for case in cases
    ]
    blocks = [_text(name, lines) for name, lines in [(COMMON, common), *own]]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(blocks), encoding="utf-8")


def _text(name: str, lines: list[tuple[str, str]]) -> str:
    return "".join([f"{name}\n", *(f"{_INDENT}{key} = {value}\n" for key, value in lines)])


def _blocks(text: str) -> Iterator[Case]:
    name, entries, without = "", {}, ()
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        if not line.startswith(_INDENT):
            if name:
                yield Case(name, entries, without)
            name, entries, without = line, {}, ()
        elif line.strip().startswith("without "):
            without += tuple(line.split("without ")[1].split(", "))
        else:
            key, value = line.strip().split(" = ", maxsplit=1)
            entries[key] = json_text(json.loads(value))
    yield Case(name, entries, without)


def json_text(value: object) -> str:
    """One line for one value, the same for the same value."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
