"""The content of /opt: our package, the interpreters, the modules and libraries that they load, and
the licences.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from opt.layer import bytecode, elf, packages
from opt.layer.bundles import BUNDLES, modules_of, without_files
from opt.layer.modules import UNUSED, Closure, closure
from opt.layer.sources import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opt.layer.sources import Interpreter, Part, Say, Source

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "lrap_otel"
FLAVOURS = {"default": ROOT / "requirements.txt", "sdk": ROOT / "requirements-sdk.txt"}

# Modules of our package that no process of a layer imports.
NOT_IN_A_LAYER = {
    "emulator": "the local Lambda of `lrap-otel emulate`",
    "aws": "`lrap-otel instrument` and `doctor`, which run on a workstation",
    "cli.py": "the command line of a workstation",
    "extras.py": "what that command line has to say of packages",
    "py.typed": "for type checkers",
    "telemetry/export/roles.py": "for type checkers",
}
# Modules of our package that need packages of others: only in the flavour that has these.
FOR_PACKAGES = Path("telemetry/export/sdk")
# Modules of the standard library that not even the SDK's flavour includes.
NOT_IN_ANY_LAYER = {
    "test": "CPython's own tests",
    "idlelib": "an editor",
    "tkinter": "windows on a screen",
    "turtledemo": "windows on a screen",
    "turtle.py": "windows on a screen",
    "lib2to3": "Python 2",
    "ensurepip": "nothing is installed in a layer",
    "venv": "nothing is installed in a layer",
    "distutils": "nothing is installed in a layer",
    "pydoc_data": "help texts",
    "msilib": "Windows",
    "curses": "a terminal",
    "sqlite3": "a database",
    "dbm": "a database",
}
# An interpreter finds its standard library by the file of this module.
_LANDMARK = "os"


class Job(NamedTuple):
    """A source to compile for bytecode.py: with a `module`, `target` is a bundle."""

    kind: str
    source: Path
    target: Path
    name: str
    module: str = ""


@dataclass(frozen=True)
class Built:
    """A finished /opt in the folder `opt`. `parts`: what in it others made; `left_out`: modules of
    the standard library that are not in it, with the reason.
    """

    opt: Path
    flavour: str
    architectures: tuple[str, ...]
    parts: tuple[Part, ...]
    left_out: dict[str, str]
    source: str


def build(
    source: Source, architectures: Sequence[str], flavour: str, folder: Path, say: Say
) -> Built:
    """Write `folder`/opt anew. Raises SourceError if something that is needed is not available."""
    opt = folder / "opt"
    shutil.rmtree(opt, ignore_errors=True)
    (opt / "lrap-otel").mkdir(parents=True)
    _copy_scripts(opt)
    _copy_package(opt / "lrap_otel", source.native(), flavour)
    requirements = FLAVOURS[flavour]
    stdlib = source.native().stdlib
    wanted = (
        _whole(source.native()) if has_packages(flavour) else closure(package_sources(), stdlib)
    )
    frozen = source.native().frozen_modules() - {_LANDMARK}
    wanted.stdlib = {name: path for name, path in wanted.stdlib.items() if name not in frozen}
    _copy_stdlib(opt / "lrap-otel/lib", wanted, source.native())
    parts: list[Part] = []
    for name in architectures:
        interpreter = source.interpreters[name]
        say(f"{name}: {interpreter.executable.name} {_version_of(interpreter)}")
        _copy_interpreter(opt / "lrap-otel" / name, interpreter, wanted)
        if has_packages(flavour):
            folder_of_packages = opt / "lrap-otel" / name / "packages"
            packages.install(requirements, interpreter, folder_of_packages)
            _compile_packages(folder_of_packages, interpreter, source.native())
        parts += interpreter.parts
    _write_certificates(opt / "lrap-otel/cacert.pem", source)
    _write_licences(opt / "lrap-otel/licenses", parts)
    left_out = _left_out(wanted, frozen, stdlib)
    _write_trimmed(folder / "left-out.txt", left_out)
    (opt / "lrap-otel/VERSION").write_text(
        "\n".join(_version_lines(flavour, architectures, parts)) + "\n"
    )
    return Built(opt, flavour, tuple(architectures), tuple(parts), left_out, source.name)


def has_packages(flavour: str) -> bool:
    """Whether a flavour includes packages of others, which may import any module of the standard
    library.
    """
    return packages.are_asked_for(FLAVOURS[flavour])


def version() -> str:
    """The project's version, read from the package's sources."""
    source = PACKAGE / "__init__.py"
    found = re.search(r'^__version__ = "([^"]+)"', source.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError(f"{source} has no version")
    return found[1]


def package_sources() -> list[Path]:
    """The Python files of our package that belong in a layer."""
    return [path for path in package_files() if path.suffix == ".py"]


def package_files(flavour: str = "default") -> list[Path]:
    """All files of our package that belong in a layer."""
    found = []
    for path in sorted(PACKAGE.rglob("*")):
        name = path.relative_to(PACKAGE)
        is_left_out = bool({name.parts[0], str(name)} & NOT_IN_A_LAYER.keys()) or (
            FOR_PACKAGES in name.parents and not has_packages(flavour)
        )
        if path.is_file() and path.suffix != ".pyc" and not is_left_out:
            found.append(path)
    return found


def is_script(source: Path) -> bool:
    """Whether a file is started by its path, which needs the source."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    return any(
        isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
        for node in ast.walk(tree)
    )


def _copy_scripts(opt: Path) -> None:
    for name, target in (
        ("entrypoint", "extensions/lrap-otel"),
        ("wrapper", "wrapper"),
        ("wrapper", "lrap-otel/wrapper"),
    ):
        (opt / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "opt" / name, opt / target)
        (opt / target).chmod(0o755)


def _copy_package(target: Path, interpreter: Interpreter, flavour: str) -> None:
    """Copy the package: modules as bytecode alone, which takes one look-up less, in bundles or in
    files; scripts, which are started by their path, as source too.
    """
    jobs, bundled = [], without_files(PACKAGE)
    for path in package_files(flavour):
        copied = target / path.relative_to(PACKAGE)
        name = f"lrap_otel/{path.relative_to(PACKAGE)}"
        if path.suffix != ".py" or is_script(path):
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copied)
        if path.suffix == ".py" and path not in bundled:
            jobs.append(Job("package", path, copied.with_suffix(".pyc"), name))
    for bundle in BUNDLES:
        for module, path in modules_of(bundle, PACKAGE).items():
            name = f"lrap_otel/{path.relative_to(PACKAGE)}"
            jobs.append(Job("package", path, target / f"{bundle}.bundle", name, module))
    _compile(jobs, interpreter)


def _copy_stdlib(target: Path, wanted: Closure, interpreter: Interpreter) -> None:
    """Copy one standard library for both architectures: an interpreter finds it above its own
    folder.
    """
    folder = target / f"python{interpreter.version}"
    jobs = []
    for path in sorted(wanted.stdlib.values()):
        name = path.relative_to(interpreter.stdlib)
        jobs.append(
            Job(
                "stdlib",
                path,
                (folder / name).with_suffix(".pyc"),
                f"python{interpreter.version}/{name}",
            )
        )
    _compile(jobs, interpreter)


def _compile_packages(folder: Path, interpreter: Interpreter, native: Interpreter) -> None:
    """Compile packages of others next to their sources, which they may read."""
    tag = f"cpython-{interpreter.version.replace('.', '')}"
    jobs = []
    for path in sorted(folder.rglob("*.py")):
        compiled = path.parent / f"__pycache__/{path.stem}.{tag}.pyc"
        jobs.append(Job("packages", path.absolute(), compiled, str(path.relative_to(folder))))
    _compile(jobs, native)


def _compile(jobs: list[Job], interpreter: Interpreter) -> None:
    lines = "".join(
        "\t".join(map(str, job._replace(target=job.target.absolute()))) + "\n" for job in jobs
    )
    # The order of a set of strings in bytecode depends on their hashes.
    done = subprocess.run(
        # Without the column of each instruction, which only tracebacks print: a fifth of the
        # bytecode.
        [*interpreter.command(), "-S", "-s", "-B", "-X", "no_debug_ranges", bytecode.__file__],
        input=lines,
        env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SourceError(f"the layer's interpreter cannot compile: {done.stderr.strip()}")


def _copy_interpreter(target: Path, interpreter: Interpreter, wanted: Closure) -> None:
    dynload = target / f"lib/python{interpreter.version}/lib-dynload"
    dynload.mkdir(parents=True)
    extensions = list(_extensions(interpreter, wanted))
    libraries = interpreter.libraries(interpreter.executable, *extensions)
    copies = {target / "python": interpreter.executable, target / "ld.so": interpreter.loader}
    copies |= {target / "lib" / name: path for name, path in libraries.items()}
    copies |= {dynload / path.name: path for path in extensions}
    for copy, path in copies.items():
        copy.write_bytes(elf.trimmed(path.read_bytes()))
        copy.chmod(0o755)


def _extensions(interpreter: Interpreter, wanted: Closure) -> Iterator[Path]:
    """The compiled modules that are asked for and have a file of their own; the others are in the
    interpreter.
    """
    for path in sorted((interpreter.stdlib / "lib-dynload").glob("*.so")):
        if path.name.partition(".")[0] in wanted.extensions:
            yield path


def _whole(interpreter: Interpreter) -> Closure:
    """The whole standard library, for packages of others, whose imports are not known."""
    whole, stdlib = Closure(), interpreter.stdlib
    for path in sorted(stdlib.rglob("*.py")):
        parts = path.relative_to(stdlib).parts
        if parts[0] in NOT_IN_ANY_LAYER or {"packages", "dist-packages", "test", "tests"} & set(
            parts
        ):
            continue
        whole.stdlib[".".join(parts).removesuffix(".py").removesuffix(".__init__")] = path
    for path in (stdlib / "lib-dynload").glob("*.so"):
        name = path.name.partition(".")[0]
        if not name.startswith(("_test", "_xx", "xx")) and _has_its_libraries(path, interpreter):
            whole.extensions.add(name)
    return whole


def _has_its_libraries(path: Path, interpreter: Interpreter) -> bool:
    try:
        interpreter.libraries(path)
    except SourceError:
        return False
    return True


def _write_certificates(target: Path, source: Source) -> None:
    files = (
        sorted(source.certificates.glob("*.crt"))
        if source.certificates.is_dir()
        else [source.certificates]
    )
    text = "".join(path.read_text(encoding="utf-8").strip() + "\n" for path in files)
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise SourceError(f"{source.certificates} holds no CA certificate")
    target.write_text(text)


def _write_licences(target: Path, parts: list[Part]) -> None:
    target.mkdir()
    shutil.copyfile(ROOT / "LICENSE", target / "lrap-otel")
    for part in parts:
        # Packages built from one source have the same text.
        if part.licence is not None:
            shutil.copyfile(part.licence, target / part.origin.rpartition(" ")[2])


def _left_out(wanted: Closure, frozen: set[str], stdlib: Path) -> dict[str, str]:
    """The modules of the standard library that are not in the layer: file to reason."""
    kept = set(wanted.stdlib.values())
    left = {}
    for path in sorted(stdlib.rglob("*")):
        if not path.is_file() or path in kept or path.suffix == ".pyc":
            continue
        name = path.relative_to(stdlib)
        if name.parts[0] == "lib-dynload" and path.name.partition(".")[0] in wanted.extensions:
            continue
        module = ".".join(name.with_suffix("").parts).removesuffix(".__init__")
        reason = (
            UNUSED.get(module)
            or NOT_IN_ANY_LAYER.get(name.parts[0])
            or "nothing that is shipped imports it"
        )
        left[str(name)] = "is in the interpreter's file" if module in frozen else reason
    return left


def _write_trimmed(target: Path, left_out: dict[str, str]) -> None:
    target.write_text("".join(f"{name}\t{why}\n" for name, why in sorted(left_out.items())))


def _version_of(interpreter: Interpreter) -> str:
    """The version number that its maker gave it."""
    return next(
        (part.version for part in interpreter.parts if part.name.startswith("python")),
        interpreter.version,
    )


def _version_lines(flavour: str, architectures: Sequence[str], parts: list[Part]) -> list[str]:
    return [
        f"lrap-otel {version()}",
        f"flavour {flavour}",
        f"architectures {' '.join(architectures)}",
        *sorted(
            {f"{part.name} {part.version} {part.architecture} {part.origin}" for part in parts}
        ),
    ]
