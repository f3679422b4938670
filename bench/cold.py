"""What a user pays for an extension: cold start, billed time, CPU and memory of a sandbox that runs
a real Python function.

Lambda and the collector are played here, on the CPUs that the sandbox does not have. The runtime is
awslambdaric. Between invocations the sandbox is frozen, by a control group where this machine lets
us, else by SIGSTOP. That group, and what is played here, get the CPUs before other programs, so
that a busy machine shows in the figures as little as can be.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING

from bench.events import http_event
from bench.lambda_apis import Lambda, StandstillError
from bench.machine import cpu_ns, first_in_line, one_cpu, other_cpus, pinned, pss_kb
from bench.process_group import Group
from bench.quota_cgroup import Quota, why_not
from bench.rig import STOP_LIMIT_S, RigError, free_port, variables
from bench.sink import Sink
from bench.table import Table
from bench.targets import DIRECT, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from typing_extensions import Self

EVENT = http_event(1_024)
FIRST = 10
PAUSE_S = 0.2
# Of the function alone, in which nothing is left to do.
SHORT_PAUSE_S = 0.04
QUOTA_PERCENT, QUOTA_PERIOD_US, QUOTA_EVENTS = 10.0, 20_000, 20
WARM_UP, WARM, WARM_SLOW = 20, 150, 40
FAST_MS, SLOW_MS = 1, 50
# What a function of so many MB has. Source: AWS Lambda, "Configure Lambda function memory".
ONE_CPU_MB = 1_769
CHECKOUT, LAYER = "checkout", "layer"
FUNCTION = ROOT / "bench/function"


@dataclass(frozen=True)
class Way:
    """What stands between Lambda and the runtime: some extensions and a wrapper, or nothing."""

    name: str
    extensions: tuple[Path, ...] = ()
    wrapper: Path | None = None
    traces: bool = False


@dataclass(frozen=True)
class Invocation:
    """One invocation, in ms from its event: when the function's result came, and when all had asked
    for the next event.
    """

    caller_ms: float
    billed_ms: float


@dataclass(frozen=True)
class Start:
    """A new sandbox and its first invocations. `cpu_until_span_ms` is the extension's until the end
    of the invocation in which the first span arrived.
    """

    init_ms: float
    first: list[Invocation]
    cpu_until_span_ms: float
    pss_mb: float


@dataclass(frozen=True)
class Warm:
    """Invocations back to back: what each is billed and its caller waits, and the extension's CPU
    for each.
    """

    billed_ms: list[float]
    caller_ms: list[float]
    cpu_ms: float


def ways() -> list[Way]:
    """The function alone, this checkout, its layer where it is built, and what PEER_OPT names.

    BENCH_OPT and PEER_OPT are folders laid out as /opt; the latter may be several with colons
    between them.
    """
    layer = Path(os.environ.get("BENCH_OPT") or ROOT / "build/opt").absolute()
    peers = [
        Path(folder).absolute() for folder in os.environ.get("PEER_OPT", "").split(":") if folder
    ]
    return [
        Way(DIRECT),
        Way(CHECKOUT, (ROOT / "opt/entrypoint",), ROOT / "opt/wrapper", traces=True),
        *([replace(way_of(LAYER, layer), traces=True)] if layer.is_dir() else []),
        *(way_of(folder.name, folder) for folder in peers),
    ]


def way_of(name: str, folder: Path) -> Way:
    """The extensions of a folder as Lambda would find them in /opt, and its wrapper if
    it has one.
    """
    extensions = tuple(
        path for path in sorted((folder / "extensions").iterdir()) if not path.is_dir()
    )
    wrapper = folder / "wrapper"
    return Way(name, extensions, wrapper if wrapper.exists() else None)


class Sandbox:
    """A sandbox whose runtime and extensions wait for the first event; `init_ms` is how long that
    took.

    It ends with the block. RigError where anything in it does not go on.
    """

    def __init__(
        self, way: Way, sink: Sink, folder: Path, cpus: Collection[int], memory_mb: int
    ) -> None:
        self._way, self._sink, self._cpus, self._memory_mb = way, sink, cpus, memory_mb
        self._log = folder / "log"
        self._extensions: list[Group] = []
        self._groups: list[Group] = []
        self._cleanup = ExitStack()
        self._lambda = Lambda(EVENT)
        self._cleanup.callback(self._lambda.close)
        self._quota: Quota | None = None
        self.init_ms = 0.0

    def __enter__(self) -> Self:
        """Start everything, and wait until it waits."""
        try:
            if not why_not():
                self._quota = self._cleanup.enter_context(Quota(None, QUOTA_PERIOD_US))
            self._cleanup.enter_context(pinned(other_cpus(self._cpus)))
            self._start()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End whatever still runs."""
        self._cleanup.close()

    def limit(self, percent: float) -> None:
        """Let it use so much of one CPU from now on."""
        if self._quota is None:
            raise RigError("no control group can be made here")
        self._quota.limit(percent)

    def invoke(self, pause_s: float = 0.0) -> Invocation:
        """One invocation, and a freeze of so long after it."""
        begin_ns = self._lambda.deliver()
        self._serve_until(lambda: self._lambda.is_idle)
        end_ns = max(self._lambda.poll_ns, self._lambda.end_of_extensions_ns(begin_ns))
        if pause_s:
            self._freeze(pause_s)
        return Invocation((self._lambda.result_ns - begin_ns) / 1e6, (end_ns - begin_ns) / 1e6)

    def cpu_ms(self) -> float:
        """CPU time that all processes of the extensions have had."""
        return sum(cpu_ns(pid) for group in self._extensions for pid in group.members()) / 1e6

    def pss_mb(self) -> float:
        """Proportional set size of all processes of the extensions."""
        return sum(pss_kb(pid) for group in self._extensions for pid in group.members()) / 1024

    def shut_down(self) -> None:
        """End it as Lambda does. RigError where an extension does not end by itself."""
        self._lambda.shut_down()
        for group in self._extensions:
            if not group.ended_within(STOP_LIMIT_S):
                raise self._error(f"does not end after SHUTDOWN: {group.left()}")

    def _start(self) -> None:
        given = variables(self._lambda.port, self._sink, free_port())
        given["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = str(self._memory_mb)
        with self._quota.inside() if self._quota else nullcontext():
            begin_ns = time.monotonic_ns()
            self._extensions = [self._spawn([str(path)], given) for path in self._way.extensions]
            self._serve_until(lambda: len(self._lambda.registered) == len(self._extensions))
            wrapper = [str(self._way.wrapper)] if self._way.wrapper else []
            given |= {
                "_HANDLER": "answer.handler",
                "PYTHONPATH": str(FUNCTION),
                "LAMBDA_TASK_ROOT": str(FUNCTION),
            }
            self._spawn([*wrapper, sys.executable, "-m", "awslambdaric", "answer.handler"], given)
        self._cleanup.enter_context(first_in_line())
        self._serve_until(lambda: self._lambda.is_idle)
        self.init_ms = (time.monotonic_ns() - begin_ns) / 1e6

    def _spawn(self, command: list[str], given: dict[str, str]) -> Group:
        group = Group(command, given, self._log, self._cpus)
        self._cleanup.callback(group.kill)
        self._groups.append(group)
        return group

    def _freeze(self, seconds: float) -> None:
        if self._quota is not None:
            self._quota.freeze()
            time.sleep(seconds)
            self._quota.thaw()
            return
        for group in self._groups:
            group.signal(signal.SIGSTOP)
        time.sleep(seconds)
        for group in self._groups:
            group.signal(signal.SIGCONT)

    def _serve_until(self, is_there: Callable[[], bool]) -> None:
        try:
            self._lambda.serve_until(is_there)
        except StandstillError as error:
            raise self._error(str(error)) from error

    def _error(self, text: str) -> RigError:
        written = self._log.read_text(errors="replace")[-1500:] if self._log.exists() else ""
        return RigError(f"{self._way.name}: {text}\n{written}".rstrip())


def start(way: Way, cpus: Collection[int], events: int, percent: float | None = None) -> Start:
    """A new sandbox, so many paced events, SHUTDOWN; with `percent`, that share of a CPU once init
    is over.
    """
    memory_mb = ONE_CPU_MB if percent is None else round(ONE_CPU_MB * percent / 100)
    with _sandbox(way, cpus, FAST_MS, memory_mb) as (sandbox, sink):
        if percent is not None:
            sandbox.limit(percent)
        first, cpu_until_span_ms = [], 0.0
        for _ in range(events):
            first.append(sandbox.invoke(PAUSE_S if way.extensions else SHORT_PAUSE_S))
            if not cpu_until_span_ms and sink.has_spans:
                cpu_until_span_ms = sandbox.cpu_ms()
        result = Start(sandbox.init_ms, first, cpu_until_span_ms, sandbox.pss_mb())
        _end(way, sandbox, sink, events)
        return result


def warm(way: Way, cpus: Collection[int], collector_ms: int, events: int) -> Warm:
    """So many events back to back in a sandbox that has served some."""
    with _sandbox(way, cpus, collector_ms) as (sandbox, sink):
        for _ in range(WARM_UP):
            sandbox.invoke()
        before_ms = sandbox.cpu_ms()
        found = [sandbox.invoke() for _ in range(events)]
        cpu_ms = (sandbox.cpu_ms() - before_ms) / events
        _end(way, sandbox, sink, WARM_UP + events)
        return Warm([one.billed_ms for one in found], [one.caller_ms for one in found], cpu_ms)


@contextmanager
def _sandbox(
    way: Way, cpus: Collection[int], collector_ms: int, memory_mb: int = ONE_CPU_MB
) -> Iterator[tuple[Sandbox, Sink]]:
    """A sandbox with a collector that takes so long for each answer."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        sink = Sink(folder, other_cpus(cpus), collector_ms)
        cleanup.callback(sink.kill)
        yield cleanup.enter_context(Sandbox(way, sink, folder, cpus, memory_mb)), sink


def _end(way: Way, sandbox: Sandbox, sink: Sink, events: int) -> None:
    """SHUTDOWN. RigError where ours did not send a span for each event."""
    sandbox.shut_down()
    spans = sink.close()
    if way.traces and spans != events:
        raise RigError(f"{way.name}: {spans} spans of {events} events")


@dataclass(frozen=True)
class Round:
    """One way's figures of a round: on one CPU, on two, with a share of one after init, and back to
    back.
    """

    one: Start
    two: Start
    share: Start | None
    warm: Warm
    slow: Warm


def measure(way: Way) -> Round:
    """Five new sandboxes; four where no share of a CPU can be set."""
    one, all_of_them = one_cpu(), frozenset(os.sched_getaffinity(0))
    return Round(
        start(way, one, FIRST),
        start(way, all_of_them, 1),
        None if why_not() else start(way, one, QUOTA_EVENTS, QUOTA_PERCENT),
        warm(way, one, FAST_MS, WARM),
        warm(way, one, SLOW_MS, WARM_SLOW),
    )


@dataclass(frozen=True)
class Row:
    """A figure of a round with what it may be; `is_added` says that it counts what is more than the
    direct way's.
    """

    text: str
    limit: float
    of: Callable[[Round], float]
    is_added: bool = False

    def values(self, rounds: Sequence[Round], direct: Sequence[Round]) -> list[float]:
        """The figure of each round, less the direct way's in the same round where it is added."""
        if not self.is_added:
            return [self.of(one) for one in rounds]
        return [self.of(one) - self.of(floor) for one, floor in zip(rounds, direct, strict=True)]


def _billed_ms(start: Start) -> float:
    return sum(invocation.billed_ms for invocation in start.first)


ROWS = (
    Row("init on one CPU, ms added", 25, lambda one: one.one.init_ms, is_added=True),
    Row("init on two CPUs, ms added", 15, lambda one: one.two.init_ms, is_added=True),
    Row(
        "first event billed more, one CPU, ms",
        40,
        lambda one: one.one.first[0].billed_ms,
        is_added=True,
    ),
    Row(
        "first event billed more, two CPUs, ms",
        10,
        lambda one: one.two.first[0].billed_ms,
        is_added=True,
    ),
    Row(
        "first event, the caller waits more, one CPU, ms",
        5,
        lambda one: one.one.first[0].caller_ms,
        is_added=True,
    ),
    Row(
        "CPU of the extension until the first span is out, ms",
        75,
        lambda one: one.one.cpu_until_span_ms,
    ),
    Row(
        f"init + billed of the first {FIRST}, ms",
        190,
        lambda one: one.one.init_ms + _billed_ms(one.one),
    ),
    Row(
        "back to back, collector of 1 ms: billed more, mean ms",
        1.5,
        lambda one: fmean(one.warm.billed_ms),
        is_added=True,
    ),
    Row(
        "back to back, collector of 50 ms: billed more, mean ms",
        2,
        lambda one: fmean(one.slow.billed_ms),
        is_added=True,
    ),
    Row(
        "back to back: the caller waits more, p50 ms",
        0.5,
        lambda one: median(one.warm.caller_ms),
        is_added=True,
    ),
    Row("back to back: CPU of the extension for each, ms", 1, lambda one: one.warm.cpu_ms),
    Row(f"memory of the extension after {FIRST} (PSS), MB", 12, lambda one: one.one.pss_mb),
)
_SHARE = f"{QUOTA_PERCENT:g} % of a CPU after init"
QUOTA_ROWS = (
    Row(f"{_SHARE}: init, ms added", 60, lambda one: _share(one).init_ms, is_added=True),
    Row(f"{_SHARE}: first event billed, ms", 90, lambda one: _share(one).first[0].billed_ms),
    Row(
        f"{_SHARE}: first event, the caller waits, ms",
        40,
        lambda one: _share(one).first[0].caller_ms,
    ),
    Row(f"{_SHARE}: all {QUOTA_EVENTS} billed, ms", 300, lambda one: _billed_ms(_share(one))),
)


def _share(one: Round) -> Start:
    if one.share is None:
        raise RigError(why_not())
    return one.share


def rows() -> tuple[Row, ...]:
    """The figures that this machine can give."""
    return ROWS if why_not() else (*ROWS, *QUOTA_ROWS)


def table(rounds: Mapping[str, Sequence[Round]]) -> Table:
    """The median of each figure over the rounds, for each way, beside what it may be."""
    count = len(rounds[DIRECT])
    lines = [
        [
            row.text,
            *(
                ""
                if name == DIRECT and row.is_added
                else _text(row.values(rounds[name], rounds[DIRECT]))
                for name in rounds
            ),
            f"{row.limit:g}",
        ]
        for row in rows()
    ]
    return Table(f"cold: medians of {count} rounds", ["", *rounds, "at most"], lines)


def _text(values: Sequence[float]) -> str:
    value = median(values)
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def main() -> None:
    """Print the table of some rounds, or with --spread the least and the most of each figure as
    well.
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--spread", action="store_true")
    options = parser.parse_args()
    # A sandbox that is frozen at that moment would stay so for ever.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    rounds: dict[str, list[Round]] = {way.name: [] for way in ways()}
    for number in range(options.rounds):
        for way in ways():
            rounds[way.name].append(measure(way))
        print(f"round {number + 1}", file=sys.stderr, flush=True)
    print(table(rounds).text())
    if options.spread:
        for row in rows():
            found = {
                name: sorted(row.values(each, rounds[DIRECT])) for name, each in rounds.items()
            }
            spread = ", ".join(
                f"{name} {values[0]:.1f} to {values[-1]:.1f}" for name, values in found.items()
            )
            print(f"{row.text}: {spread}")


if __name__ == "__main__":
    main()
