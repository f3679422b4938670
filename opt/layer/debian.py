"""Interpreters for both architectures from Debian's packages, by an apt with a state of its own.

apt verifies downloads: the archive's signature on the lists, the lists' checksums of the packages.
The machine's package lists, architectures and packages are not touched. Works on any Debian and for
any user.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from opt.layer.archive import zlib_deflate
from opt.layer.sources import ARCHITECTURES, Interpreter, Part, Source, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opt.layer.archive import Deflate
    from opt.layer.sources import Say

# How old package lists may be: those of security updates change every few days.
_LISTS_AGE_LIMIT_S = 24 * 3600
_TIMEOUT_S = 600
_COMPRESSION_LEVEL = 12
# For ctypes, bz2, lzma, uuid; not for curses, readline, sqlite3, dbm, nis.
_OF_OTHER_MODULES = ("libffi", "libbz2", "liblzma", "libuuid")

_CONFIGURATION = """\
Dir::State "{root}/state";
Dir::State::lists "{root}/state/lists";
Dir::State::status "{root}/state/status";
Dir::Cache "{root}/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
APT::Architecture "{machine}";
APT::Architectures {{ {architectures} }};
Acquire::Languages "none";
Acquire::Retries "3";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
"""


def source(architectures: Sequence[str], say: Say, *, is_whole: bool) -> Source:
    """One interpreter for each architecture, and one for this machine, which compiles the bytecode.

    `is_whole`: include the libraries of modules that only packages of others import.
    """
    apt = Apt(cache() / "apt")
    with apt.lock():
        apt.update(say)
        python = _python_package(apt)
        library = f"lib{python.removesuffix('-minimal')}-stdlib"
        wanted = [python, library, *_dependencies(apt, python, f"lib{python}")]
        if is_whole:
            wanted += [
                name for name in _dependencies(apt, library) if name.startswith(_OF_OTHER_MODULES)
            ]
        names = {
            each: [f"{package}:{ARCHITECTURES[each]}" for package in wanted]
            for each in with_this_machine(architectures)
        }
        found = apt.fetch(["ca-certificates", *(name for each in names.values() for name in each)])
        trees = {
            each: apt.tree(each, [found[name] for name in (*names[each], "ca-certificates")])
            for each in names
        }
        deflate = _libdeflate(apt, say)
    interpreters = {
        name: Interpreter(name, (root,), parts) for name, (root, parts) in trees.items()
    }
    root = next(iter(interpreters.values())).roots[0]
    return Source(
        "Debian's packages", interpreters, root / "usr/share/ca-certificates/mozilla", deflate
    )


def cache() -> Path:
    """The folder of downloads, outside the checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lrap-otel" / "layer"


class Apt:
    """An apt with a folder of its own, which has the package lists of both architectures."""

    def __init__(self, root: Path) -> None:
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise SourceError("apt-get and dpkg-deb are not installed")
        self.root = root
        for folder in ("state/lists/partial", "cache/archives/partial", "packages"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "state/status").touch()
        self._configuration = root / "apt.conf"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold an exclusive lock on the folder."""
        with (self.root / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._configuration.write_text(
                _CONFIGURATION.format(
                    root=self.root,
                    machine=ARCHITECTURES.get(platform.machine(), "amd64"),
                    architectures=" ".join(f'"{name}";' for name in ARCHITECTURES.values()),
                )
            )
            yield

    def update(self, say: Say) -> None:
        """Fetch the package lists if they are old. Without a network, old lists are used."""
        stamp = self.root / "updated"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < _LISTS_AGE_LIMIT_S:
            return
        say("apt: fetching the package lists, in a folder of our own")
        try:
            self.run("apt-get", "update", "--error-on=any")
        except SourceError as error:
            if not stamp.exists():
                raise
            say(f"apt: the package lists of {time.ctime(stamp.stat().st_mtime)} are used: {error}")
            return
        stamp.touch()

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """Run one command and return its output. Raises SourceError with the last line of its
        errors.
        """
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        if command[0].startswith("apt-"):
            # Read after the machine's configuration, which names the proxy to use, and overrides
            # it.
            command = (command[0], f"--config-file={self._configuration}", *command[1:])
        try:
            done = subprocess.run(
                command,
                env=environment,
                cwd=cwd,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SourceError(f"`{command[0]}` took longer than {_TIMEOUT_S} s") from error
        if done.returncode:
            lines = [
                line for line in done.stderr.splitlines() if line.startswith("E:")
            ] or done.stderr.splitlines()
            raise SourceError(f"`{command[0]}`: {(lines or ['it failed'])[0]}")
        return done.stdout

    def fetch(self, packages: Sequence[str]) -> dict[str, Package]:
        """Download and verify the packages that are not here yet. Returns the packages by the names
        asked for.
        """
        folder = self.root / "packages"
        described = self._describe(packages)
        missing = [name for name, package in described.items() if not package.is_whole()]
        if missing:
            self.run("apt-get", "download", "--quiet", *missing, cwd=folder)
        for package in described.values():
            if not package.is_whole():
                raise SourceError(f"{package.archive} is not what the package list says")
        return described

    def tree(self, architecture: str, packages: Sequence[Package]) -> tuple[Path, tuple[Part, ...]]:
        """Unpack these packages into one folder. Returns the folder, and what was unpacked."""
        checksums = "".join(package.sha256 for package in packages)
        root = (
            self.root
            / "trees"
            / f"{architecture}-{hashlib.sha256(checksums.encode()).hexdigest()[:12]}"
        )
        if not root.is_dir():
            unpacked = root.with_name(f"{root.name}.unpacking")
            shutil.rmtree(unpacked, ignore_errors=True)
            unpacked.mkdir(parents=True)
            for package in packages:
                self.run("dpkg-deb", "-x", str(package.archive), str(unpacked))
            unpacked.rename(root)
        return root, tuple(package.part(architecture, root) for package in packages)

    def _describe(self, packages: Sequence[str]) -> dict[str, Package]:
        described = {}
        for stanza in self.run("apt-cache", "--no-all-versions", "show", *packages).split("\n\n"):
            fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", stanza, re.MULTILINE))
            if fields:
                package = Package(self.root / "packages", fields)
                described[package.name] = described[package.name_and_architecture] = package
        unknown = [name for name in packages if name not in described]
        if unknown:
            raise SourceError(f"apt knows no package {' or '.join(unknown)}")
        return {name: described[name] for name in packages}


class Package:
    """One package, as the package list describes it."""

    def __init__(self, folder: Path, fields: dict[str, str]) -> None:
        self.name = fields["Package"]
        self.name_and_architecture = f"{self.name}:{fields['Architecture']}"
        self.version = fields["Version"]
        self.sha256 = fields["SHA256"]
        self.archive = (
            folder / f"{self.name}_{self.version.replace(':', '%3a')}_{fields['Architecture']}.deb"
        )
        self._source = fields.get("Source", self.name).partition(" ")[0]

    def is_whole(self) -> bool:
        """Whether its file is here and has the list's checksum."""
        return (
            self.archive.is_file()
            and hashlib.sha256(self.archive.read_bytes()).hexdigest() == self.sha256
        )

    def part(self, architecture: str, root: Path) -> Part:
        """Its description for the licences and the bill of materials, once unpacked in `root`."""
        documents = root / "usr/share/doc"
        licences = (documents / name / "copyright" for name in (self.name, self._source))
        licence = next((path for path in licences if path.is_file()), None)
        origin = f"Debian source package {self._source}"
        return Part(self.name, self.version, architecture, origin, self.sha256, licence)


def with_this_machine(architectures: Sequence[str]) -> list[str]:
    machine = platform.machine()
    return sorted({*architectures, machine} if machine in ARCHITECTURES else architectures)


def _python_package(apt: Apt) -> str:
    """Debian's default version: ``python3.11-minimal``."""
    shown = apt.run("apt-cache", "depends", "python3-minimal")
    found = re.search(r"(python3\.\d+-minimal)\b", shown)
    if found is None:
        raise SourceError("apt knows no package python3.X-minimal")
    return found[1]


def _dependencies(apt: Apt, *packages: str) -> list[str]:
    """The dependencies of these packages, which may be among them, except the first."""
    shown = apt.run("apt-cache", "depends", *packages)
    return sorted(
        set(re.findall(r"^\s+(?:Pre)?Depends: ([a-z0-9.+-]+)", shown, re.MULTILINE))
        - set(packages[:1])
    )


def _libdeflate(apt: Apt, say: Say) -> Deflate:
    """Deflate by libdeflate, 5 % smaller than zlib's; by zlib if the library is not available."""
    machine = ARCHITECTURES.get(platform.machine())
    if machine is None:
        return zlib_deflate
    try:
        name = f"libdeflate0:{machine}"
        root, _ = apt.tree(platform.machine(), [apt.fetch([name])[name]])
        library = ctypes.CDLL(str(next(root.rglob("libdeflate.so.0"))))
    except (SourceError, OSError, StopIteration) as error:
        say(f"compressed by zlib, 5 % larger: libdeflate cannot be had: {error}")
        return zlib_deflate
    library.libdeflate_alloc_compressor.restype = ctypes.c_void_p
    library.libdeflate_deflate_compress.restype = ctypes.c_size_t
    compressor = ctypes.c_void_p(library.libdeflate_alloc_compressor(_COMPRESSION_LEVEL))

    def deflate(content: bytes) -> bytes:
        room = ctypes.create_string_buffer(len(content) + 1024)
        size = library.libdeflate_deflate_compress(
            compressor, content, ctypes.c_size_t(len(content)), room, ctypes.c_size_t(len(room))
        )
        return room.raw[:size]

    return deflate
