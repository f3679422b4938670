"""Certificates for servers of the tests."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_certificate(path: Path, names: str) -> Path:
    """A new certificate, signed by itself, with its key in the same file.

    `names`: such as ``DNS:localhost,IP:127.0.0.1``.
    """
    key = path.with_suffix(".key")
    new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subject = ["-subj", "/CN=collector", "-addext", f"subjectAltName={names}"]
    command = [*new.split(), *subject, "-keyout", key, "-out", path]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(key.read_bytes() + path.read_bytes())
    return path
