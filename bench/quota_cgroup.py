"""A share of a CPU as a small Lambda function has it, and the freeze between its invocations:
control groups, v1 or v2.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

LEAVE_LIMIT_S = 5
FREEZE_LIMIT_S = 5
# Source: cgroups(7), /proc/mounts.
_MOUNTS = Path("/proc/mounts")
# Source: sched-design-CFS and cgroup-v2, of the kernel's documentation. An ordinary group has 1024
# and 100.
_MOST_SHARES, _MOST_WEIGHT = "262144", "10000"


class QuotaError(Exception):
    """This machine lets us set no quota; the text says what was missing."""


class Quota:
    """A control group that may use `percent` of one CPU, by periods of `period_us`; it ends with
    the block.

    None is all that there is, until `limit` says otherwise; other programs then get little of the
    CPUs that it is on, as far as the kernel has its way. Who writes its process id into each of
    `doors` is in it, with all that it starts. `freeze` stops them as Lambda does between
    invocations: no signal is sent, so that a process that was stopped stays stopped afterwards.
    """

    def __init__(
        self, percent: float | None, period_us: int, name: str = "lrap-otel-bench"
    ) -> None:
        self._name = f"{name}-{os.getpid()}"
        self._percent = percent
        self._period_us = period_us
        self._is_v1 = False
        self._folders: list[Path] = []
        self._freezer = (Path(), "", "")

    def __enter__(self) -> Self:
        """Make it. QuotaError where the machine does not let us."""
        try:
            self._make()
        except OSError as error:
            self._remove()
            raise QuotaError(
                f"no CPU quota can be set here: {error.strerror}: {error.filename}"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it, once all that were in it have ended."""
        self.thaw()
        end = time.monotonic() + LEAVE_LIMIT_S
        while (
            any(door.read_text(encoding="ascii") for door in self.doors) and time.monotonic() < end
        ):
            time.sleep(0.01)
        self._remove()

    @property
    def period_s(self) -> float:
        """How long a period is."""
        return self._period_us / 1e6

    @property
    def doors(self) -> list[Path]:
        """Where a process writes its id to enter."""
        return [folder / "cgroup.procs" for folder in self._folders]

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What is started in this block is in it from its first moment, and so are we until the
        block ends.

        Moving a process takes up to 20 ms, in which it runs; one that is moved once it has started
        may have forked.
        """
        homes = [_home_of(folder.parent) for folder in self._folders]
        for door in self.doors:
            door.write_text(str(os.getpid()), encoding="ascii")
        try:
            yield
        finally:
            for home in homes:
                (home / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

    def limit(self, percent: float | None) -> None:
        """Let those in it use so much of one CPU from now on; None is all that there is."""
        quota_us = None if percent is None else round(self._period_us * percent / 100)
        cpu = self._folders[0]
        if self._is_v1:
            (cpu / "cpu.cfs_quota_us").write_text(str(quota_us or -1), encoding="ascii")
        else:
            (cpu / "cpu.max").write_text(f"{quota_us or 'max'} {self._period_us}", encoding="ascii")

    def freeze(self) -> None:
        """Stop all that are in it, and return when they are."""
        control, frozen, _ = self._freezer
        control.write_text(frozen, encoding="ascii")
        end = time.monotonic() + FREEZE_LIMIT_S
        while not self._is_frozen() and time.monotonic() < end:
            time.sleep(0.001)

    def thaw(self) -> None:
        """Let them run again."""
        control, _, thawed = self._freezer
        control.write_text(thawed, encoding="ascii")

    def throttled(self) -> int:
        """In how many periods somebody had to wait for the next one."""
        return _number_in(self._folders[0] / "cpu.stat", "nr_throttled")

    def _make(self) -> None:
        cpu, freezer = _v1("cpu"), _v1("freezer")
        if cpu and freezer:
            self._make_v1(cpu / self._name, freezer / self._name)
            self.limit(self._percent)
            return
        root = _v2()
        if root is None:
            raise QuotaError(
                "no CPU quota can be set here: no cgroup file system with a cpu controller is "
                "mounted"
            )
        self._make_v2(root)
        self.limit(self._percent)

    def _make_v1(self, cpu: Path, freezer: Path) -> None:
        for folder in (cpu, freezer):
            folder.mkdir()
            self._folders.append(folder)
        (cpu / "cpu.cfs_period_us").write_text(str(self._period_us), encoding="ascii")
        self._is_v1 = True
        if self._percent is None:
            (cpu / "cpu.shares").write_text(_MOST_SHARES, encoding="ascii")
        self._freezer = (freezer / "freezer.state", "FROZEN", "THAWED")

    def _make_v2(self, root: Path) -> None:
        (root / "cgroup.subtree_control").write_text("+cpu", encoding="ascii")
        folder = root / self._name
        folder.mkdir()
        self._folders.append(folder)
        if self._percent is None:
            (folder / "cpu.weight").write_text(_MOST_WEIGHT, encoding="ascii")
        self._freezer = (folder / "cgroup.freeze", "1", "0")

    def _is_frozen(self) -> bool:
        control, frozen, _ = self._freezer
        if control.name == "freezer.state":
            return control.read_text(encoding="ascii").strip() == frozen
        return _number_in(control.with_name("cgroup.events"), "frozen") == 1

    def _remove(self) -> None:
        for folder in self._folders:
            with suppress(OSError):  # somebody outlived the limit; the group goes with the machine
                folder.rmdir()


def why_not() -> str:
    """Why no quota can be set on this machine; empty where one can."""
    try:
        with Quota(50, 100_000, "lrap-otel-probe"):
            return ""
    except QuotaError as error:
        return str(error)


def _v1(controller: str) -> Path | None:
    return next(
        (path for kind, path, options in _mounts() if kind == "cgroup" and controller in options),
        None,
    )


def _v2() -> Path | None:
    for kind, path, _ in _mounts():
        controllers = path / "cgroup.controllers"
        if (
            kind == "cgroup2"
            and controllers.exists()
            and "cpu" in controllers.read_text(encoding="ascii").split()
        ):
            return path
    return None


def _home_of(mount: Path) -> Path:
    """The group of a mounted hierarchy that we are in.

    Source: cgroups(7), /proc/PID/cgroup.
    """
    controllers = next((set(options) for _, path, options in _mounts() if path == mount), set())
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, names, place = line.split(":", 2)
        if controllers & set(names.split(",")) or (not names and mount == _v2()):
            return mount / place.lstrip("/")
    return mount


def _mounts() -> list[tuple[str, Path, list[str]]]:
    lines = [line.split() for line in _MOUNTS.read_text(encoding="utf-8").splitlines()]
    return [(line[2], Path(line[1]), line[3].split(",")) for line in lines]


def _number_in(path: Path, name: str) -> int:
    lines = path.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name} "))
