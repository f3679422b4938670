"""Sources of a layer's interpreters: Debian's packages, uv, or the user's own folders."""

from __future__ import annotations

import platform
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from opt.layer import elf
from opt.layer.archive import zlib_deflate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opt.layer.archive import Deflate

    Say = Callable[[str], None]

# Debian's name of each architecture, by the name that `uname -m` prints.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class SourceError(Exception):
    """An interpreter, or something that it needs, is not available; the text says what to do."""


@dataclass(frozen=True)
class Part:
    """Something shipped that others made: for the licences, the version file and a bill of
    materials.

    `origin` is where its source is available; `sha256` is of its archive, empty for a folder.
    """

    name: str
    version: str
    architecture: str
    origin: str
    sha256: str
    licence: Path | None


@dataclass(frozen=True)
class Interpreter:
    """A CPython in a tree of files; its shared libraries and its loader are somewhere below
    `roots`.
    """

    architecture: str
    roots: tuple[Path, ...]
    parts: tuple[Part, ...]

    @cached_property
    def executable(self) -> Path:
        """The program itself, a regular file."""
        for root in self.roots:
            for pattern in ("usr/bin/python3.*", "bin/python3.*", "usr/local/bin/python3.*"):
                found = [
                    path
                    for path in root.glob(pattern)
                    if path.name.removeprefix("python3.").isdigit()
                ]
                if found:
                    return max(found, key=lambda path: int(path.name.rpartition(".")[2]))
        raise SourceError(f"there is no bin/python3.X in {' or '.join(map(str, self.roots))}")

    @property
    def version(self) -> str:
        """``3.11``."""
        return self.executable.name.removeprefix("python")

    @property
    def stdlib(self) -> Path:
        """The folder of its standard library."""
        folder = self.executable.parent.parent / "lib" / f"python{self.version}"
        if not (folder / "os.py").is_file():
            raise SourceError(
                f"{folder}/os.py is missing: the standard library is needed as source"
            )
        return folder

    @cached_property
    def loader(self) -> Path:
        """The file of its own glibc's loader; the program names the path that it has in a complete
        system.
        """
        name = Path(elf.loader(self.executable.read_bytes())).name
        if not name.startswith("ld-linux"):
            raise SourceError(
                f"{self.executable} is not a dynamic program of glibc's (its loader: "
                f"{name or 'none'})"
            )
        return self.library(name)

    def library(self, name: str) -> Path:
        """The file of a shared library, by the name under which programs load it."""
        for root in self.roots:
            found = next((path for path in sorted(root.rglob(name)) if path.is_file()), None)
            if found is not None:
                return found
        raise SourceError(
            f"{self.architecture}: {name} is needed and is nowhere in "
            f"{' or '.join(map(str, self.roots))}"
        )

    def libraries(self, *programs: Path) -> dict[str, Path]:
        """Every shared library that these files load, and that those load: name to file."""
        found: dict[str, Path] = {}
        waiting = list(programs)
        while waiting:
            for name in elf.needed(waiting.pop().read_bytes()):
                if name not in found and name != self.loader.name:
                    found[name] = self.library(name)
                    waiting.append(found[name])
        return found

    def command(self) -> list[str]:
        """The beginning of a command that runs this interpreter here, with its whole library.
        Raises SourceError if that is impossible.
        """
        emulator = []
        if self.architecture != platform.machine():
            program = shutil.which(f"qemu-{self.architecture}-static") or shutil.which(
                f"qemu-{self.architecture}"
            )
            if program is None:
                raise SourceError(
                    f"bytecode is compiled by the layer's interpreter: for {self.architecture} "
                    f"alone, install qemu-user-static"
                )
            emulator = [program]
        folders = {str(path.parent) for path in self.libraries(self.executable).values()}
        return [
            *emulator,
            str(self.loader),
            "--library-path",
            ":".join(sorted(folders)),
            str(self.executable),
        ]

    def frozen_modules(self) -> set[str]:
        """The modules whose bytecode is in the program itself."""
        script = "import _imp; print(*_imp._frozen_module_names())"
        done = subprocess.run(
            [*self.command(), "-I", "-S", "-c", script], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SourceError(f"{self.executable} does not run here: {done.stderr.strip()}")
        return set(done.stdout.split())


@dataclass(frozen=True)
class Source:
    """`interpreters` by architecture; `certificates`: files of CA certificates; `deflate`: the best
    compressor available.
    """

    name: str
    interpreters: dict[str, Interpreter]
    certificates: Path
    deflate: Deflate = zlib_deflate

    def native(self) -> Interpreter:
        """The interpreter that runs here without emulation; else any."""
        return self.interpreters.get(platform.machine()) or next(iter(self.interpreters.values()))


def find(wanted: str, architectures: Sequence[str], say: Say, *, is_whole: bool) -> Source:
    """The source asked for: ``debian``, ``uv`` or folders; for an empty string the first one that
    works.

    `is_whole`: the whole standard library is wanted, for packages of others.
    """
    from opt.layer import debian, folders, standalone  # noqa: PLC0415 - each of them needs what is above

    by_name = {"debian": debian.source, "uv": standalone.source}
    if wanted and wanted not in by_name:
        source = folders.source(wanted, architectures, say)
        say(f"interpreters: folders, {_versions(source)}")
        return source
    reasons = []
    for name in [wanted] if wanted else by_name:
        try:
            source = by_name[name](architectures, say, is_whole=is_whole)
        except SourceError as error:
            reasons.append(f"{name}: {error}")
            continue
        for reason in reasons:
            say(f"interpreters: not from {reason}")
        say(f"interpreters: {source.name}, {_versions(source)}")
        return source
    raise SourceError("no interpreter for the layer:\n  " + "\n  ".join(reasons))


def _versions(source: Source) -> str:
    return ", ".join(
        f"{name} {each.executable.name}" for name, each in sorted(source.interpreters.items())
    )
