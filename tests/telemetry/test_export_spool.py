"""The spool holds what it was given, in order, or less; never anything else, whatever lies in its
place.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.telemetry.export import spool as spools
from lrap_otel.telemetry.export.spool import NotOursError, Spool, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.telemetry.export.spool import Stored

LIMIT = 1_000_000
ROOT = Path(__file__).parents[2]
EARLIER, LATER = b"an earlier resource", b"a later one"


def spans(count: int, of: bytes = EARLIER, size: int = 10) -> list[Stored]:
    return [(of, f"{number}".encode().ljust(size, b".")) for number in range(count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool"


class Ours:
    """A spool, with all that waits given at once."""

    def __init__(self, path: Path, limit: int, encoding: str) -> None:
        self._spool = Spool(str(path), limit, encoding)
        self.take, self.over = self._spool.take, self._spool.over
        self.remove, self.close = self._spool.remove, self._spool.close

    def keep(self, waiting: list[Stored], known: int) -> None:
        self._spool.keep(waiting[known:], known, lambda: waiting)


def spool(path: Path, limit: int = LIMIT, encoding: str = "protobuf") -> Ours:
    return Ours(path, limit, encoding)


def taken(path: Path, limit: int = LIMIT) -> list[Stored]:
    """What the next process finds."""
    content = spool(path, limit).take()
    return content.spans if content is not None else []


def test_the_next_process_finds_the_spans_in_order_each_with_its_resource(path: Path) -> None:
    waiting = [*spans(3), *spans(2, LATER), *spans(1)]
    spool(path).keep(waiting, 0)
    assert taken(path) == waiting


def test_what_is_added_later_comes_after_what_is_there(path: Path) -> None:
    waiting = spans(5)
    ours = spool(path)
    ours.keep(waiting[:2], 0)
    before = path.read_bytes()
    ours.keep(waiting, 2)
    assert path.read_bytes().startswith(before)  # append-only
    assert taken(path) == waiting


def test_a_later_process_adds_to_what_an_earlier_one_left(path: Path) -> None:
    spool(path).keep(spans(2), 0)
    later = spool(path)
    content = later.take()
    assert content is not None
    waiting = [*content.spans, *spans(2, LATER)]
    later.keep(waiting, 2)
    assert taken(path) == waiting


def test_spans_that_are_over_are_not_found_again_and_the_last_takes_the_file_with_it(
    path: Path,
) -> None:
    ours = spool(path)
    ours.keep(spans(5), 0)
    ours.over(2)
    assert taken(path) == spans(5)[2:]
    ours.over(3)
    assert list(path.parent.iterdir()) == []


def test_without_a_file_nothing_is_found_and_none_is_made(path: Path) -> None:
    ours = spool(path)
    assert ours.take() is None
    ours.over(3)
    ours.remove()
    assert list(path.parent.iterdir()) == []


def test_the_file_is_for_its_user_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        spool(path).keep(spans(1), 0)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o7777 == 0o600


def test_the_oldest_give_way_and_the_next_process_knows_how_many(path: Path) -> None:
    ours, limit = spool(path, 10_000), 10_000
    waiting: list[Stored] = []
    for _ in range(60):
        waiting += spans(10, size=100)
        ours.keep(waiting, len(waiting) - 10)
        assert path.stat().st_size <= limit
    content = spool(path, limit).take()
    assert content is not None
    assert content.spans == waiting[-len(content.spans) :]
    assert content.missing + len(content.spans) == len(waiting)
    assert len(content.spans) >= 60


def test_those_without_room_are_over_before_those_that_have_it(path: Path) -> None:
    ours = spool(path, 1_000)
    ours.keep(spans(20, size=100), 0)
    first = spool(path, 1_000).take()
    assert first is not None
    assert first.missing > 0
    # The collector had as many as found no room: none is missing any more.
    ours = spool(path, 1_000)
    ours.keep(spans(20, size=100), 0)
    ours.over(first.missing)
    second = spool(path, 1_000).take()
    assert second is not None
    assert (second.missing, second.spans) == (0, first.spans)


def test_missing_ones_are_reported_to_one_process_only(path: Path) -> None:
    spool(path, 1_000).keep(spans(20, size=100), 0)
    reported = [
        content.missing
        for content in (spool(path, 1_000).take(), spool(path, 1_000).take())
        if content
    ]
    assert reported[0] > 0
    assert reported[1] == 0


def test_a_file_in_another_encoding_is_not_read(path: Path) -> None:
    spool(path, encoding="json").keep(spans(3), 0)
    assert taken(path) == []
    assert not path.exists()


WHOLE = spools.header("protobuf") + b"".join(
    [
        spools.counted(spools.MISSING, 2),
        spools.record(spools.RESOURCE, EARLIER),
        *[spools.record(spools.SPAN, span) for _, span in spans(3)],
        spools.counted(spools.OVER, 3),
        spools.record(spools.RESOURCE, LATER),
        *[spools.record(spools.SPAN, span) for _, span in spans(3, LATER)],
    ]
)
# Of any beginning: every span that it holds, those that a later mark puts aside included.
HELD = [*spans(3), *spans(3, LATER)]


def test_a_whole_file_is_read_whole() -> None:
    content = parse(WHOLE, "protobuf")
    assert (content.spans, content.missing, content.is_damaged) == (HELD[1:], 0, False)


def test_a_file_that_is_torn_at_any_byte_yields_a_beginning() -> None:
    for length in range(len(WHOLE)):
        content = parse(WHOLE[:length], "protobuf")
        held = [span for span in HELD if span in content.spans]
        assert content.spans == held
        assert content.intact_bytes <= length


def test_a_bit_that_is_flipped_anywhere_yields_no_span_that_was_not_there() -> None:
    for position in range(len(WHOLE)):
        for bit in range(8):
            damaged = bytearray(WHOLE)
            damaged[position] ^= 1 << bit
            content = parse(bytes(damaged), "protobuf")
            assert content.is_damaged
            assert [span for span in content.spans if span not in HELD] == []


@given(st.binary(max_size=300))
def test_no_bytes_are_read_as_spans_that_nobody_wrote(data: bytes) -> None:
    for file in (data, spools.header("protobuf") + data):
        assert parse(file, "protobuf").spans == []


RECORDS = st.one_of(
    st.tuples(st.integers(0, 255), st.binary(max_size=20)).map(lambda each: spools.record(*each)),
    st.tuples(st.sampled_from((spools.OVER, spools.MISSING)), st.integers(0, 2**32 - 1)).map(
        lambda each: spools.counted(*each)
    ),
    st.sampled_from([spools.record(spools.RESOURCE, EARLIER), spools.record(spools.SPAN, b"span")]),
)


@given(st.lists(RECORDS, max_size=20), st.binary(max_size=5))
def test_records_in_any_order_are_read_without_harm(records: list[bytes], rest: bytes) -> None:
    content = parse(spools.header("protobuf") + b"".join(records) + rest, "protobuf")
    assert len(content.spans) <= len(records)
    assert content.missing >= 0


def test_after_a_torn_record_the_next_process_goes_on_from_the_last_whole_one(path: Path) -> None:
    spool(path).keep(spans(3), 0)
    os.truncate(path, path.stat().st_size - 1)
    later = spool(path)
    content = later.take()
    assert content is not None
    assert content.is_damaged
    waiting = [*content.spans, *spans(2, LATER)]
    later.keep(waiting, len(content.spans))
    assert taken(path) == waiting == [*spans(2), *spans(2, LATER)]


def fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def link_to_another_file(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"not ours")
    other.chmod(0o600)
    path.symlink_to(other)


def link_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


def second_name(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"not ours")
    other.chmod(0o600)
    path.hardlink_to(other)


def folder(path: Path) -> None:
    path.mkdir()
    (path / "file").write_bytes(b"not ours")


def for_everybody(path: Path) -> None:
    path.write_bytes(spools.header("protobuf"))
    path.chmod(0o666)


def of_another_user(path: Path) -> None:
    path.write_bytes(b"not ours")
    path.chmod(0o600)
    os.chown(path, 12_345, -1)


def socket_file(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize(
    "plant",
    [
        fifo,
        link_to_another_file,
        link_to_nothing,
        second_name,
        folder,
        for_everybody,
        pytest.param(
            of_another_user,
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives away"),
        ),
        socket_file,
    ],
)
def test_what_the_function_has_put_there_is_neither_read_nor_followed_nor_replaced(
    path: Path, plant: Callable[[Path], None]
) -> None:
    plant(path)
    before = _listing(path.parent)
    for use in (
        lambda: spool(path).take(),
        lambda: spool(path).keep(spans(3), 0),
        lambda: spool(path).remove(),
    ):
        with pytest.raises(NotOursError):
            use()
        assert _listing(path.parent) == before


def _listing(folder: Path) -> list[tuple[object, ...]]:
    found = []
    for each in sorted(folder.rglob("*")):
        status = each.lstat()
        content = each.read_bytes() if status.st_mode & 0o170000 == 0o100000 else b""
        found.append((each.name, status.st_mode, status.st_uid, status.st_ino, content))
    return found


def test_what_lies_where_a_new_file_is_made_does_not_stop_it(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"not ours")
    path.with_name("spool.new").symlink_to(other)
    spool(path).keep(spans(1), 0)
    assert taken(path) == spans(1)
    assert other.read_bytes() == b"not ours"


def test_a_huge_file_costs_no_more_than_the_limit(path: Path) -> None:
    path.write_bytes(spools.header("protobuf"))
    path.chmod(0o600)
    os.truncate(path, 1 << 40)  # of holes
    assert taken(path, 100_000) == []


def test_a_file_of_a_million_empty_spans_is_read_up_to_a_limit() -> None:
    empty = spools.record(spools.SPAN, b"")
    data = spools.header("protobuf") + spools.record(spools.RESOURCE, EARLIER) + empty * 200_000
    content = spools.parse(data, "protobuf")
    assert (len(content.spans), content.is_damaged) == (100_000, True)


def test_a_full_disk_does_not_keep_spans_from_being_read(path: Path) -> None:
    earlier = spool(path, 1_000)
    earlier.keep(spans(20, size=100), 0)
    earlier.close()
    size = path.stat().st_size
    program = (
        "import resource, signal, sys\n"
        f"sys.path[:0] = [{str(ROOT)!r}]\n"
        "from lrap_otel.telemetry.export.spool import Spool\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
        f"content = Spool({str(path)!r}, 1_000, 'protobuf').take()\n"
        "print(content.missing, len(content.spans))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    missing, found = map(int, done.stdout.split())
    assert missing > 0
    assert missing + found == 20


def test_a_file_that_another_process_has_is_left_alone_without_waiting(path: Path) -> None:
    earlier = spool(path)
    earlier.keep(spans(2), 0)
    earlier.close()
    program = (
        "import fcntl, sys; file = open(sys.argv[1], 'r+b'); fcntl.lockf(file, fcntl.LOCK_EX); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        for use in (lambda: spool(path).take(), lambda: spool(path).keep(spans(1, LATER), 0)):
            with pytest.raises(BlockingIOError):
                use()
        other.communicate()
    assert taken(path) == spans(2)


def test_a_process_that_has_the_file_keeps_others_from_it(path: Path) -> None:
    ours = spool(path)
    ours.keep(spans(2), 0)
    program = "import fcntl, sys; file = open(sys.argv[1], 'r+b'); fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)"
    other = subprocess.run(
        [sys.executable, "-c", program, str(path)], stderr=subprocess.PIPE, check=False
    )
    assert b"BlockingIOError" in other.stderr
    ours.over(2)
    assert not path.exists()


def test_a_file_that_the_function_deleted_or_cut_is_written_anew(path: Path) -> None:
    waiting = spans(5)
    for meddle in (path.unlink, lambda: os.truncate(path, 7), lambda: path.write_bytes(b"x" * 900)):
        ours = spool(path)
        ours.keep(waiting[:3], 0)
        meddle()
        ours.keep(waiting, 3)
        assert taken(path) == waiting


def test_a_file_of_the_function_in_the_place_of_ours_is_not_removed(path: Path) -> None:
    ours = spool(path)
    ours.keep(spans(1), 0)
    path.unlink()
    path.write_bytes(b"of the function")
    ours.over(1)
    assert path.read_bytes() == b"of the function"


WRITES = """
import resource, signal, sys
sys.path[:0] = [{root!r}]
from lrap_otel.telemetry.export.spool import Spool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool({path!r}, 1_000_000, "protobuf")
spans = [(b"resource", f"{{number}}".encode().ljust(100, b".")) for number in range(40)]
spool.keep(spans[:10], 0, lambda: spans[:10])
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    spool.keep(spans[10:], 10, lambda: spans)
except OSError as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("limit", [0, 10, 1_300, 2_000])
def test_a_disk_that_is_full_half_way_costs_what_does_not_fit_and_nothing_else(
    path: Path, limit: int
) -> None:
    """The kernel's limit on a file's size cuts a write short, as a full disk does."""
    program = WRITES.format(root=str(ROOT), path=str(path), limit=limit)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "OSError\n", done.stderr
    content = spool(path).take()
    assert content is not None
    assert [span.rstrip(b".") for _, span in content.spans] == [
        f"{number}".encode() for number in range(10)
    ]
    assert not content.is_damaged
    assert [each.name for each in path.parent.iterdir()] == ["spool"]


def test_a_folder_that_cannot_be_written_is_an_error_and_no_more(tmp_path: Path) -> None:
    ours = spool(tmp_path / "missing/spool")
    assert ours.take() is None
    with pytest.raises(OSError, match="No such file"):
        ours.keep(spans(1), 0)
    ours.over(1)
    ours.remove()


KILLED = """
import sys
sys.path[:0] = [{root!r}]
from lrap_otel.telemetry.export.spool import Spool
spool = Spool({path!r}, 20_000, "protobuf")
waiting = []
number = 0
while True:
    for _ in range(7):
        waiting.append((b"resource", f"{{number}}".encode().ljust(100, b".")))
        number += 1
    spool.keep(waiting[-7:], len(waiting) - 7, lambda: waiting)
    print(number, flush=True)
    if number % 3 == 0:
        del waiting[:5]
        spool.over(5)
"""


@pytest.mark.parametrize("writes", [1, 2, 30, 60])
def test_a_kill_at_any_moment_leaves_all_that_was_in_the_file(path: Path, writes: int) -> None:
    program = KILLED.format(root=str(ROOT), path=str(path))
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for _ in range(writes):
            writer.stdout.readline()
        writer.kill()
        said = [int(line) for line in writer.stdout if line.endswith("\n")]
    content = spool(path, 20_000).take()
    assert content is not None
    numbers = [int(span.rstrip(b".")) for _, span in content.spans]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[-1] + 1 >= max(said, default=7 * writes)
