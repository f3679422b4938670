"""``python -m tests.fuzz.guided N [SEED]``: as ``python -m tests.fuzz``, but inputs that reach new
code breed further ones.

Without atheris (requirements-fuzz.txt) the inputs are random.
"""

from __future__ import annotations

import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from random import Random, SystemRandom

# What the last run found interesting, and what it stopped at: the next one begins with it. An
# input's first byte chooses its target.
CORPUS = Path("build/fuzz")
_LONGEST_BYTES = 8_192
_REPORTS = 20


class Driver:
    """Hands libFuzzer's inputs to the targets, and changes inputs as its `custom_mutator`."""

    def __init__(self, count: int) -> None:
        import atheris  # noqa: PLC0415 - it may be absent

        with atheris.instrument_imports(include=["lrap_otel"], enable_loader_override=False):
            from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - what is fuzzed is instrumented while it is imported
        self._atheris = atheris
        self._targets = list(TARGETS.items())
        self._count = count
        self._done = 0
        self._began_s = time.monotonic()

    def write_seeds(self) -> None:
        for number, (name, target) in enumerate(self._targets):
            for position, seed in enumerate(target.seeds):
                path = CORPUS / f"seed-{name.replace(' ', '-')}-{position}"
                path.write_bytes(bytes([number]) + seed)

    def run(self, data: bytes) -> None:
        """One input. libFuzzer stops at an exception, and keeps the input."""
        if data:
            name, target = self._targets[data[0] % len(self._targets)]
            difference = target.check(data[1:])
            if difference is not None:
                self._say(f"{name}: {difference}")
                raise AssertionError("not read alike")
        self._done += 1
        if self._done % max(1, self._count // _REPORTS) == 0:
            rate = self._done / (time.monotonic() - self._began_s)
            self._say(f"{self._done} of {self._count} inputs, no difference, {rate:.0f} a second")
        if self._done == self._count:
            os._exit(0)  # libFuzzer would end with a dictionary

    def mutate(self, data: bytes, most: int, seed: int) -> bytes:
        """Half of the time our own change, which knows what an input is made of, else
        libFuzzer's.
        """
        random = Random(seed)
        number = data[0] if data else random.randrange(256)
        target = self._targets[number % len(self._targets)][1]
        kind = random.random()
        if kind < 0.45:
            body = target.mutated(random, data[1:])
        elif kind < 0.55:
            body = target.input(random)
        else:
            body = self._atheris.Mutate(data[1:], most - 1)
        return bytes([number]) + body[: most - 1]

    def _say(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """The exit status; where atheris is, libFuzzer ends the process and gives its own."""
    if find_spec("atheris") is None:
        from tests.fuzz.__main__ import main as compare_random_inputs  # noqa: PLC0415 - imports what is fuzzed

        sys.stdout.write("atheris is not installed: inputs are random, not guided by coverage\n")
        return compare_random_inputs(arguments)
    count = int(arguments[0])
    seed = int(arguments[1]) if len(arguments) > 1 else SystemRandom().randrange(1, 1 << 31)
    _fuzz(count, seed)
    return 0


def _fuzz(count: int, seed: int) -> None:
    import atheris  # noqa: PLC0415 - it may be absent

    CORPUS.mkdir(parents=True, exist_ok=True)
    driver = Driver(count)
    driver.write_seeds()
    sys.stdout.write(f"{count} inputs (seed {seed})\n")
    options = [f"-seed={seed}", f"-max_len={_LONGEST_BYTES}", "-verbosity=0"]
    files = [f"-artifact_prefix={CORPUS}/", str(CORPUS)]
    atheris.Setup([sys.argv[0], *options, *files], driver.run, custom_mutator=driver.mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
