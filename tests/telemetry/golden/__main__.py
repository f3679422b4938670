"""``python -m tests.telemetry.golden``: writes the golden spans anew, for a reviewer to read the
difference.
"""

from __future__ import annotations

import sys

from tests.telemetry.golden.spans import golden
from tests.telemetry.golden.tables import EXPECTED, SPANS, read_cases, write_cases
from tests.telemetry.otlp_collector import Collector


def main() -> None:
    count = 0
    with Collector() as collector:
        for path in sorted(EXPECTED.glob("*.txt")):
            spans = [golden(case, collector) for case in read_cases(path)]
            write_cases(SPANS / path.name, spans)
            count += len(spans)
    sys.stdout.write(f"{count} spans\n")


if __name__ == "__main__":
    main()
