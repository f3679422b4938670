"""Whatever a collector does, in whatever phase, and whatever becomes of our process: a span
arrives, or it is counted or said to be lost.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.faults import cells
from tests.faults.cells import ENDS, KILLED, PHASES, SHUT_DOWN, Cell
from tests.faults.collector import FAULTS
from tests.faults.table import OUTCOMES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(400)  # they wait for one another on a machine with few CPUs
# Most of a cell is waiting.
AT_ONCE = 24
# One of each kind: not sent, unknown, asked to wait, rejected.
OF_EACH_KIND = ("refused", "hangs at the head", "503", "400")


def outcomes(
    wanted: list[Cell], folder: Path, certificates: tuple[str, str]
) -> list[cells.Outcome]:
    def one(number: int) -> cells.Outcome:
        own = folder / str(number)
        own.mkdir()
        return cells.run(wanted[number], own, certificates)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(one, range(len(wanted))))
    OUTCOMES.extend(found)
    return found


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("end", [SHUT_DOWN, KILLED])
def test_every_fault_in_every_phase(
    phase: str, end: str, tmp_path: Path, certificates: tuple[str, str]
) -> None:
    found = outcomes([Cell(phase, fault, end) for fault in FAULTS], tmp_path, certificates)
    assert [each for each in found if not each.is_right] == []


@pytest.mark.parametrize("end", [end for end in ENDS if end not in {SHUT_DOWN, KILLED}])
def test_every_fault_of_ours_with_one_of_each_kind(
    end: str, tmp_path: Path, certificates: tuple[str, str]
) -> None:
    wanted = [Cell(phase, fault, end) for phase in PHASES for fault in OF_EACH_KIND]
    found = outcomes(wanted, tmp_path, certificates)
    assert [each for each in found if not each.is_right] == []
