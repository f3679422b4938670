"""Whatever is wrong with the interpreter or the package, something registers once and lives until
SHUTDOWN, and says why.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.interpreters import find
from tests.layer_folder import NEXT, REGISTERED, Layer
from tests.ports import free_port
from tests.processes import proxies_of
from tests.upstream import TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
MACHINE = platform.machine()
SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}


@pytest.fixture(params=sorted(name for name in SHELLS if shutil.which(name)))
def shell(request: pytest.FixtureRequest) -> list[str]:
    """The shell that runs the entrypoint."""
    return SHELLS[request.param]


@pytest.fixture
def layer(tmp_path: Path) -> Iterator[Layer]:
    layer = Layer(tmp_path / "opt")
    yield layer
    layer.close()


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def absent(folder: Path) -> Path:
    return folder / "gone/python3"


def lacks_a_library(folder: Path) -> Path:
    """What the dynamic loader does is what this does."""
    text = "echo 'python3: error while loading shared libraries: libpython3.12.so.1.0: cannot open shared object file' >&2"
    return executable(folder / "broken", f"#!/bin/sh\n{text}\nexit 127\n")


def lacks_its_own_modules(folder: Path) -> Path:
    """What an interpreter without its standard library does is what this does."""
    text = "echo 'Fatal Python error: init_fs_encoding: failed to get the Python codec' >&2"
    return executable(folder / "bare", f"#!/bin/sh\n{text}\nexit 1\n")


def crashes(folder: Path) -> Path:
    return executable(folder / "crashing", "#!/bin/sh\nkill -SEGV $$\n")


def is_of_another_architecture(folder: Path) -> Path:
    """An ELF file for a machine that this is not."""
    path = folder / "foreign"
    head = bytearray(Path(sys.executable).resolve().read_bytes()[:4_096])
    head[18:20] = b"\xf3\x00"  # RISC-V
    path.write_bytes(head)
    path.chmod(0o755)
    return path


def is_a_folder(folder: Path) -> Path:
    path = folder / "python3"
    path.mkdir()
    return path


def is_free_threaded(folder: Path) -> Path:
    """The real interpreter, which says of itself what such a build says."""
    script = "import sys,runpy; sys._is_gil_enabled = lambda: False; sys.argv = sys.argv[1:]; exec(compile(open(sys.argv[0]).read(), sys.argv[0], 'exec'))"
    return executable(
        folder / "free", f'#!/bin/sh\nshift 4\nexec {sys.executable} -I -S -c "{script}" "$@"\n'
    )


def old(version: str) -> Callable[[Path], Path] | None:
    found = find(version)
    return (lambda _: found) if found else None


BROKEN: dict[str, tuple[Callable[[Path], Path], str]] = {
    "absent": (absent, "is not there"),
    "a folder": (is_a_folder, "is not there"),
    "a library missing": (lacks_a_library, "does not start (status 127)"),
    "its modules missing": (lacks_its_own_modules, "does not start"),
    "crashing": (crashes, "does not start"),
    "foreign": (is_of_another_architecture, "does not start"),
    "free-threaded": (is_free_threaded, "is a free-threaded build"),
    **{
        f"{version}": (how, "is older than Python 3.10")
        for version in ("3.6", "3.7", "3.8", "3.9")
        if (how := old(version))
    },
}


@pytest.mark.parametrize("how", BROKEN)
def test_an_interpreter_that_will_not_do_gives_way_to_the_next_in_one_line(
    layer: Layer, shell: list[str], tmp_path: Path, how: str
) -> None:
    make, reason = BROKEN[how]
    layer.name_interpreter(broken := make(tmp_path))
    layer.add("python3", Path(sys.executable).resolve())
    layer.start(shell)
    request, errors = layer.live()
    assert b"\r\nLambda-Extension-Name: lrap-otel\r\n" in request
    (line,) = [line for line in errors.splitlines() if line.startswith("lrap-otel: ")]
    assert line.startswith(f"lrap-otel: warning: {broken} {reason}")
    assert line.endswith("is used instead")


@pytest.mark.parametrize("how", BROKEN)
def test_where_no_interpreter_will_do_bash_lives_until_shutdown_and_says_why_in_one_line(
    layer: Layer, shell: list[str], tmp_path: Path, how: str
) -> None:
    make, reason = BROKEN[how]
    layer.name_interpreter(broken := make(tmp_path))
    port = free_port()
    layer.start(shell, LRAP_LISTENER_PORT=str(port))
    request, errors = layer.live()
    assert request.startswith(b"POST /2020-01-01/extension/register HTTP/1.1\r\n")
    assert b"\r\nLambda-Extension-Name: lrap-otel\r\n" in request
    (line,) = [line for line in errors.splitlines() if line.startswith("lrap-otel: ")]
    assert line.startswith("lrap-otel: error: ")
    assert f"{broken} {reason}" in line
    assert "LRAP_PYTHON" in line


def test_a_shell_that_was_told_to_end_at_trifles_starts_the_extension(
    layer: Layer, shell: list[str]
) -> None:
    layer.add("python3", Path(sys.executable).resolve())
    layer.start([*shell, "-eu"], SHELLOPTS="errexit:nounset")
    request, errors = layer.live()
    assert b"\r\nLambda-Extension-Name: lrap-otel\r\n" in request
    assert errors == ""


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="bash lies elsewhere")
def test_bash_is_found_whatever_path_a_function_sets(layer: Layer, shell: list[str]) -> None:
    layer.start(shell, PATH="/nowhere")
    _, errors = layer.live()
    (line,) = [line for line in errors.splitlines() if line.startswith("lrap-otel: ")]
    assert line.startswith("lrap-otel: error: no interpreter will do")


def add_own_interpreter(layer: Layer, machine: str = MACHINE) -> Path:
    """An interpreter as a layer holds it, with its own dynamic loader, made of this one."""
    folder = layer.root / "lrap-otel" / machine
    (folder / "lib").mkdir(parents=True)
    binary = Path(sys.executable).resolve()
    libraries = subprocess.run(
        ["ldd", binary], capture_output=True, text=True, check=True
    ).stdout.split()
    for library in {path for path in libraries if path.startswith("/")}:
        shutil.copy(library, folder / "lib")
        if "/ld-linux" in library:
            shutil.copy(library, folder / "ld.so")
    shutil.copy(binary, folder / "python")
    version = "python{}.{}".format(*sys.version_info)
    (folder / "lib" / version).symlink_to(Path(os.__file__).parent)
    return folder


def test_the_interpreter_of_a_layer_takes_the_place_of_the_shell(
    layer: Layer, shell: list[str]
) -> None:
    own = add_own_interpreter(layer)
    layer.start(shell)
    lambda_side = layer.api.accept()
    lambda_side.read_message()
    assert layer.process is not None
    assert proxies_of(layer.process.pid) == [layer.process.pid]
    arguments = Path(f"/proc/{layer.process.pid}/cmdline").read_bytes().split(b"\0")
    assert arguments[0].endswith(b"/ld.so")
    assert own.samefile(os.fsdecode(arguments[0].rpartition(b"/")[0]))


def test_the_interpreter_that_lrap_paths_names_comes_before_the_layers(
    layer: Layer, shell: list[str]
) -> None:
    add_own_interpreter(layer)
    layer.name_interpreter(sys.executable)
    layer.start(shell)
    layer.api.accept().read_message()
    assert layer.process is not None
    (proxy,) = proxies_of(layer.process.pid)
    assert Path(f"/proc/{proxy}/cmdline").read_bytes().startswith(os.fsencode(sys.executable))


@pytest.mark.parametrize("with_another", [True, False])
def test_a_layer_whose_package_is_broken_registers_once_all_the_same(
    layer: Layer, shell: list[str], *, with_another: bool
) -> None:
    add_own_interpreter(layer)
    (layer.root / "lrap_otel/boot.py").write_text("import no_such_module\n")
    if with_another:
        layer.add("python3", Path(sys.executable).resolve())
    layer.start(shell)
    _, errors = layer.live()
    assert "ModuleNotFoundError(\"No module named 'no_such_module'\")" in errors
    assert errors.count("lrap-otel: error: no interpreter will do") == 1
    assert "the layer's own interpreter cannot load lrap_otel" in errors


def test_an_architecture_that_the_layer_does_not_have_is_told(
    layer: Layer, shell: list[str]
) -> None:
    add_own_interpreter(layer, "aarch64" if MACHINE == "x86_64" else "x86_64")
    layer.add("python3", Path(sys.executable).resolve())
    layer.start(shell)
    _, errors = layer.live()
    assert f"lrap-otel/{MACHINE}/python is not there" in errors


LOADERS = {"x86_64": "lib64/ld-linux-x86-64.so.2", "aarch64": "lib/ld-linux-aarch64.so.1"}
MUSL = {"x86_64": "lib/ld-musl-x86_64.so.1", "aarch64": "lib/ld-musl-aarch64.so.1"}


@pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("busybox"), reason="needs root and busybox"
)
@pytest.mark.parametrize(
    ("loaders", "expected"),
    [
        ([LOADERS["x86_64"]], "x86_64"),
        ([LOADERS["aarch64"]], "aarch64"),
        ([MUSL["x86_64"]], "x86_64"),
        ([MUSL["aarch64"]], "aarch64"),
        ([LOADERS["x86_64"], LOADERS["aarch64"]], MACHINE),
        ([], MACHINE),
    ],
    ids=["glibc x86_64", "glibc aarch64", "musl x86_64", "musl aarch64", "both", "neither"],
)
def test_the_architecture_is_that_of_the_processes_here_not_of_the_kernel(
    tmp_path: Path, loaders: list[str], expected: str
) -> None:
    """In a root of its own, as a container of another architecture has one under emulation. `uname`
    is the last to be asked.
    """
    for loader in loaders:
        (tmp_path / loader).parent.mkdir(exist_ok=True)
        (tmp_path / loader).touch()
    shutil.copy(shutil.which("busybox") or "", tmp_path / "busybox")
    shutil.copy(ROOT / "lrap_otel/interpreter.sh", tmp_path)
    script = "uname() { /busybox uname -m; }; . /interpreter.sh; lrap_find_architecture; echo $lrap_architecture"
    done = subprocess.run(
        [shutil.which("chroot") or "", tmp_path, "/busybox", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected


def test_bash_knows_the_architecture_without_a_process(tmp_path: Path) -> None:
    script = f". {ROOT}/lrap_otel/interpreter.sh; lrap_find_architecture; echo $lrap_architecture"
    done = subprocess.run(
        [shutil.which("bash") or "", "-c", script],
        env={"PATH": "/none"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == MACHINE


@pytest.mark.parametrize(
    "text",
    ["LRAP_PYTHON={}\r\n", "LRAP_PYTHON='{}'\n", 'LRAP_PYTHON="{}"', "if (\n`\nLRAP_PYTHON={}\n"],
    ids=["carriage returns", "quoted", "no line end", "nonsense before it"],
)
def test_lrap_paths_is_read_in_any_form(layer: Layer, shell: list[str], text: str) -> None:
    (layer.root / ".lrap-paths").write_text(text.format(sys.executable), newline="")
    layer.start(shell)
    _, errors = layer.live()
    assert errors == ""


@pytest.mark.parametrize("what", [".lrap-paths", "lrap_otel"])
def test_what_cannot_be_read_ends_nothing(layer: Layer, shell: list[str], what: str) -> None:
    """A folder where a file should be, and a file where a folder should be, cannot be read by root
    either.
    """
    layer.add("python3", Path(sys.executable).resolve())
    if what == ".lrap-paths":
        (layer.root / what).mkdir()
    else:
        shutil.rmtree(layer.root / what)
        (layer.root / what).touch()
    layer.start(shell)
    _, errors = layer.live()
    assert ("cannot be read, " in errors or "lrap_otel cannot be read" in errors) == (
        what == "lrap_otel"
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_whoever_ends_the_shell_ends_the_extension(
    layer: Layer, shell: list[str], number: int
) -> None:
    layer.name_interpreter(sys.executable)
    port = free_port()
    layer.start(shell, LRAP_LISTENER_PORT=str(port))
    lambda_side = layer.api.accept()
    lambda_side.read_message()
    lambda_side.send(REGISTERED)
    assert lambda_side.read_head().startswith(NEXT)
    assert layer.process is not None
    layer.process.send_signal(number)
    assert lambda_side.has_news(TIMEOUT_S)
    assert lambda_side.has_ended()


def test_an_extension_that_is_killed_after_it_registered_is_not_registered_again(
    layer: Layer, shell: list[str]
) -> None:
    layer.name_interpreter(sys.executable)
    layer.add("python3", Path(sys.executable).resolve())
    layer.start(shell)
    layer.api.accept().read_message()
    assert layer.process is not None
    (proxy,) = proxies_of(layer.process.pid)
    os.kill(proxy, signal.SIGKILL)
    assert layer.process.wait(10) == 128 + signal.SIGKILL
    assert not layer.api.has_caller()
