"""Run a command inside a root folder, as Lambda's user: ``enter.py ROOT ARCHITECTURE COMMAND...``,
a script of root's.

A mount namespace of its own in which /opt is read-only and /dev and /proc are the machine's; then
chroot. The command takes the place of this process. For a foreign architecture the kernel has to
know an emulator: where none is registered, one is in a user namespace of this command's own, so
that the machine stays as it is.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
from pathlib import Path

LAMBDA_USER = 993
LAMBDA_GROUP = 990

_NEW_MOUNTS, _NEW_USERS = 0x00020000, 0x10000000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000
_FORMATS = Path("/proc/sys/fs/binfmt_misc")
# The head of an ELF file for aarch64, and which of its bits count. F: the emulator is opened
# now, outside the root. P: it is given the name that the program was started by.
# Source: QEMU, scripts/qemu-binfmt-conf.sh; Linux, Documentation/admin-guide/binfmt-misc.rst.
_MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"

_libc = ctypes.CDLL(None, use_errno=True)


def main(root: str, architecture: str, command: list[str]) -> None:
    """Become `command`. OSError or RuntimeError where the machine does not let us."""
    if architecture == platform.machine() or (_FORMATS / f"qemu-{architecture}").exists():
        _call("unshare", _NEW_MOUNTS)
        _mount("none", "/", "", _RECURSIVE | _PRIVATE)
    else:
        _enter_user_namespace()
        _mount("none", "/", "", _RECURSIVE | _PRIVATE)
        _register_emulator(architecture)
    for name in ("dev", "proc"):
        _mount(f"/{name}", f"{root}/{name}", "", _BIND | _RECURSIVE)
    _mount(f"{root}/opt", f"{root}/opt", "", _BIND)
    _mount("none", f"{root}/opt", "", _REMOUNT | _BIND | _READ_ONLY)
    os.chroot(root)
    os.chdir("/")
    os.setgroups([])
    os.setgid(LAMBDA_GROUP)
    os.setuid(LAMBDA_USER)
    os.execv(command[0], command)


def _enter_user_namespace() -> None:
    """All users are who they are outside. A child outside says so, since nobody may
    about himself.
    """
    waits, tells = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.read(waits, 1)
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{parent}/{kind}").write_text("0 0 4294967295")
        os._exit(0)
    _call("unshare", _NEW_USERS | _NEW_MOUNTS)
    os.write(tells, b".")
    os.close(tells)
    os.close(waits)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("the user namespace could not be given its users")
    os.setuid(0)


def _register_emulator(architecture: str) -> None:
    emulator = shutil.which(f"qemu-{architecture}-static")
    if emulator is None:
        raise RuntimeError("install qemu-user-static: the other architecture's layer runs under it")
    _mount("binfmt_misc", str(_FORMATS), "binfmt_misc", 0)
    (_FORMATS / "register").write_text(f":qemu-{architecture}:M::{_MAGIC}:{_MASK}:{emulator}:PF")


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    _call("mount", source.encode(), target.encode(), kind.encode(), flags, None)


def _call(name: str, *arguments: bytes | int | None) -> None:
    if getattr(_libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name} {arguments}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
