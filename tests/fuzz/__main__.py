"""``python -m tests.fuzz N [SEED]``: N random heads and chunked bodies, each read by us and by h11."""

from __future__ import annotations

import sys
from random import Random, SystemRandom

from tests.fuzz import inputs
from tests.fuzz.oracle import check_body, check_head


def run(count: int, seed: int) -> list[str]:
    """The differences found."""
    random = Random(seed)
    found = []
    for number in range(count):
        difference = check_head(inputs.head(random)) if number % 2 else check_body(inputs.body(random))
        if difference is not None:
            found.append(difference)
    return found


def main(arguments: list[str]) -> int:
    count = int(arguments[0])
    seed = int(arguments[1]) if len(arguments) > 1 else SystemRandom().randrange(1 << 32)
    differences = run(count, seed)
    for difference in differences[:20]:
        sys.stdout.write(f"{difference}\n")
    sys.stdout.write(f"{count} inputs (seed {seed}), {len(differences)} differences\n")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
