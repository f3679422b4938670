"""``python -m tests.fuzz N [SEED]``: N random inputs, each read by us and by an oracle.
``guided.py`` lets coverage choose.
"""

from __future__ import annotations

import sys
from random import Random, SystemRandom

from tests.fuzz.targets import TARGETS

_REPORTS = 20


def run(count: int, seed: int, progress: int = 0) -> list[str]:
    """The differences found, each with its input. `progress`: write after so many inputs where we
    are.
    """
    random = Random(seed)
    targets = list(TARGETS.items())
    found = []
    for number in range(count):
        name, target = targets[number % len(targets)]
        difference = target.check(target.input(random))
        if difference is not None:
            found.append(f"{name}: {difference}")
        if progress and number % progress == progress - 1:
            sys.stdout.write(f"{number + 1} of {count} inputs, {len(found)} differences\n")
            sys.stdout.flush()
    return found


def main(arguments: list[str]) -> int:
    count = int(arguments[0])
    seed = int(arguments[1]) if len(arguments) > 1 else SystemRandom().randrange(1 << 32)
    differences = run(count, seed, max(1, count // _REPORTS))
    for difference in differences[:20]:
        sys.stdout.write(f"{difference}\n")
    sys.stdout.write(f"{count} inputs (seed {seed}), {len(differences)} differences\n")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
