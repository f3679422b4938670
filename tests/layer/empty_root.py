"""A root folder with nothing in it but the layer, from its zip, and a static shell: no Python, no
libraries.
"""

from __future__ import annotations

import shlex
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from opt.layer import debian
from opt.layer.sources import ARCHITECTURES

ENTER = Path(__file__).with_name("enter.py")
APPLETS = ("sh", "wget", "sed", "tr", "cat", "sleep", "uname", "ls")

# A runtime for a sandbox without anything: gives back each event.
ECHO = """\
#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while wget -q -S -O /tmp/event "$api/next" 2>/tmp/head; do
    id=$(sed -n 's/^ *[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: *//p' /tmp/head | tr -d '\\r')
    wget -q -O /dev/null --header 'Content-Type: application/json' --post-file /tmp/event "$api/$id/response" || exit 1
done
"""


@dataclass(frozen=True)
class EmptyRoot:
    """`folder` is the root; `outside` holds scripts that run something in it."""

    folder: Path
    outside: Path
    architecture: str

    def program(self, name: str, *command: str) -> Path:
        """A program for this machine that runs a command in the root. `name` is the file's."""
        script = self.outside / name
        script.parent.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, str(ENTER), str(self.folder), self.architecture, *command]
        script.write_text(f"#!/bin/sh\nexec {shlex.join(words)}\n")
        script.chmod(0o755)
        return script

    def extension(self) -> Path:
        """Starts the layer's extension in the root."""
        return self.program("extensions/lrap-otel", "/opt/extensions/lrap-otel")

    def runtime(self) -> Path:
        """Starts the function in the root, through the layer's wrapper."""
        return self.program("runtime", "/opt/lrap-otel/wrapper", "/var/task/bootstrap")

    def write(self, name: str, content: str | bytes, mode: int = 0o644) -> None:
        """A file of the root's."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)


def make(folder: Path, layer: Path, architecture: str) -> EmptyRoot:
    """Unpack the layer's zip into the /opt of a new root."""
    root = EmptyRoot(folder / "root", folder / "outside", architecture)
    for name in ("dev", "proc", "tmp", "opt", "bin", "var/task"):
        (root.folder / name).mkdir(parents=True)
    (root.folder / "tmp").chmod(0o1777)
    unzip(layer, root.folder / "opt")
    root.write("bin/busybox", busybox(architecture).read_bytes(), 0o755)
    for applet in APPLETS:
        (root.folder / "bin" / applet).symlink_to("busybox")
    root.write("etc/hosts", "127.0.0.1 localhost\n")
    root.write("var/task/bootstrap", ECHO, 0o755)
    return root


def unzip(layer: Path, folder: Path) -> None:
    """As Lambda does: the modes that the zip says, and nothing else."""
    with zipfile.ZipFile(layer) as archive:
        archive.extractall(folder)
        for entry in archive.infolist():
            (folder / entry.filename).chmod(entry.external_attr >> 16 & 0o7777)


def busybox(architecture: str) -> Path:
    """Debian's static one, for an architecture."""
    apt = debian.Apt(debian.cache() / "apt")
    name = f"busybox-static:{ARCHITECTURES[architecture]}"
    with apt.lock():
        apt.update(lambda _text: None)
        root, _ = apt.tree(architecture, [apt.fetch([name])[name]])
    return root / "bin/busybox"
