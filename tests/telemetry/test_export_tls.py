"""What TLS trusts, where it finds it, and what it costs to load."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lrap_otel.telemetry.export import tls as ours
from lrap_otel.telemetry.export.tls import Tls, authorities
from lrap_otel.telemetry.settings import ExportSettings
from tests.telemetry.otlp_collector import Collector
from tests.telemetry.proxy_records import invocations

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

ROOT = Path(__file__).parents[2]
NOTHING = ExportSettings({}).network


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A file system in which only these files of the known places exist."""
    places = {
        name: tmp_path / name
        for name in ("lambda.crt", "debian/certs/ca.crt", "alpine.pem", "own.pem")
    }
    folder = tmp_path / "debian/certs"
    folder.mkdir(parents=True)
    monkeypatch.setattr(ours, "_SYSTEM_FILES", tuple(map(str, list(places.values())[:3])))
    monkeypatch.setattr(ours, "_SYSTEM_FOLDER", str(folder))

    def _system(*names: str) -> Path:
        for name in names:
            (tmp_path / name).touch()
        return tmp_path

    return _system


@pytest.mark.parametrize(
    ("there", "file", "folder"),
    [
        (["lambda.crt", "debian/certs/ca.crt", "alpine.pem", "own.pem"], "lambda.crt", ""),
        (["debian/certs/ca.crt", "alpine.pem", "own.pem"], "debian/certs/ca.crt", ""),
        (["debian/certs/ca.crt", "debian/certs/3513523f.0", "alpine.pem"], "", "debian/certs"),
        (["alpine.pem", "own.pem"], "alpine.pem", ""),
        (["own.pem"], "own.pem", ""),
        ([], "", ""),
    ],
)
def test_authorities_are_the_system_s_and_last_our_own(
    system: Callable[..., Path], there: list[str], file: str, folder: str
) -> None:
    root = system(*there)
    expected = (str(root / file) if file else "", str(root / folder) if folder else "")
    assert authorities(NOTHING, str(root / "own.pem")) == expected


def test_authorities_that_the_user_names_come_first(system: Callable[..., Path]) -> None:
    root = system("lambda.crt")
    network = ExportSettings({b"SSL_CERT_FILE": b"/a.pem", b"SSL_CERT_DIR": b"/certs"}).network
    assert authorities(network, str(root / "own.pem")) == ("/a.pem", "/certs")


def test_the_layer_s_own_file_lies_beside_the_package() -> None:
    assert f"{ROOT}/lrap-otel/cacert.pem" == ours._OWN_FILE


def test_without_any_authority_it_is_said(system: Callable[..., Path]) -> None:
    root = system()
    with pytest.raises(OSError, match="no file with certificate authorities"):
        Tls(NOTHING, own_file=str(root / "own.pem"))


@pytest.mark.parametrize("name", ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"])
@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), (b"no certificate", "")])
def test_a_file_that_cannot_be_used_is_named(
    start: Start, certificate: Path, tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "mine.pem"
    if content is not None:
        path.write_bytes(content)
    files = {"CERTIFICATE": certificate, "CLIENT_CERTIFICATE": certificate, name: path}
    variables = {f"OTEL_EXPORTER_OTLP_{key}": str(value) for key, value in files.items()}
    telemetry = start(None, OTEL_EXPORTER_OTLP_ENDPOINT="https://127.0.0.1:1", **variables)
    assert len(telemetry.warnings) == 2
    for warning in telemetry.warnings:
        assert str(path) in warning
        assert reason in warning


def test_ssl_cert_file_is_trusted(start: Start, tls: ssl.SSLContext, certificate: Path) -> None:
    with Collector(tls=tls) as collector:
        telemetry = start(collector, SSL_CERT_FILE=str(certificate))
        telemetry.offer(*invocations(1))
        assert telemetry.flush()


def test_a_folder_with_hashed_names_is_trusted(
    start: Start, tls: ssl.SSLContext, certificate: Path, tmp_path: Path
) -> None:
    name = subprocess.check_output(
        ["openssl", "x509", "-hash", "-noout", "-in", certificate], text=True
    ).strip()
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / f"{name}.0").write_bytes(certificate.read_bytes())
    with Collector(tls=tls) as collector:
        telemetry = start(collector, SSL_CERT_DIR=str(folder))
        telemetry.offer(*invocations(1))
        assert telemetry.flush()


def test_what_is_too_old_is_not_spoken(
    start: Start, tls: ssl.SSLContext, certificate: Path
) -> None:
    context = Tls(NOTHING, str(certificate))._context
    oracle = ssl.create_default_context(cafile=certificate)
    assert context.minimum_version == oracle.minimum_version
    assert (context.verify_mode, context.check_hostname) == (
        oracle.verify_mode,
        oracle.check_hostname,
    )
    assert [one["name"] for one in context.get_ciphers()] == [
        one["name"] for one in oracle.get_ciphers()
    ]
    # create_default_context may ask for more, but not of the protocol.
    assert context.options & ssl.OP_NO_COMPRESSION


def test_a_python_without_the_tls_that_we_know_loses_that_signal_and_nothing_else(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("_ssl._SSLContext")
    with Collector() as collector:
        telemetry = start(collector, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="https://127.0.0.1:1/")
        telemetry.offer(*invocations(1))
        assert telemetry.flush()
        assert [post.path for post in collector.received()] == ["/v1/metrics"]
        (warning,) = telemetry.warnings
        assert warning.startswith(
            "traces cannot be exported with these settings: this Python's TLS cannot be used"
        )


LOADED = """
import sys
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
from lrap_otel.telemetry.settings import ExportSettings
from lrap_otel.telemetry.export.endpoint import Endpoint
endpoints = Endpoint(ExportSettings({b"OTEL_EXPORTER_OTLP_ENDPOINT": sys.argv[2].encode()}).traces, ExportSettings({}).network, {})
print(*sorted(name for name in set(sys.modules) - before if not name.startswith("lrap_otel")))
"""


@pytest.mark.parametrize(
    ("url", "more"), [("http://collector.test/", set()), ("https://collector.test/", {"_ssl"})]
)
def test_the_way_out_needs_little_of_the_standard_library(url: str, more: set[str]) -> None:
    printed = subprocess.check_output(
        [sys.executable, "-I", "-S", "-c", LOADED, ROOT, url], text=True
    )
    assert set(printed.split()) <= {"__future__", "_socket", "binascii", "select", "time"} | more
