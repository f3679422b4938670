"""The unpacked zip runs where there is nothing else: no Python, no C library, no certificates, on
both architectures.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lrap_otel.emulator import Config, Emulator
from lrap_otel.emulator.config import NO_TELEMETRY_API
from tests.certificates import write_certificate
from tests.e2e.conftest import HTTP_EVENT
from tests.telemetry.otlp_collector import Collector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lrap_otel.emulator import ExtensionReport, Outcome, Span
    from tests.layer.empty_root import EmptyRoot

# Emulated, everything takes a dozen times as long.
PATIENCE_S = 120.0
LAMBDAS_CERTIFICATES = "etc/pki/tls/certs/ca-bundle.crt"


class Run:
    """One sandbox: an event, then SHUTDOWN, and what could be seen."""

    def __init__(self, root: EmptyRoot, env: Mapping[str, str]) -> None:
        self.outcome: Outcome
        self.reports: list[ExtensionReport]
        self.spans: list[Span]
        self.output: list[str]
        self.mapped: set[str] = set()
        asyncio.run(self._run(root, dict(env)))

    @property
    def has_ended_well(self) -> bool:
        """The event came back, SHUTDOWN was seen, and nobody had anything to say."""
        ended = [(report.name, report.is_clean) for report in self.reports]
        return (self.outcome.status, ended, self.output) == ("success", [("lrap-otel", True)], [])

    async def _run(self, root: EmptyRoot, env: dict[str, str]) -> None:
        config = Config(
            command=[str(root.runtime())],
            extensions={"lrap-otel": root.extension()},
            cwd=root.outside,
            env={"LRAP_FLUSH_BUDGET_MS": str(int(PATIENCE_S * 1000)), **env},
            timeout_s=PATIENCE_S,
            telemetry=NO_TELEMETRY_API,
            init_timeout_s=PATIENCE_S,
        )
        async with Emulator(config) as emulator:
            self.outcome = await emulator.invoke(json.dumps(HTTP_EVENT).encode())
            self.mapped = _mapped_below(root)
            self.reports = [*self.outcome.reports, *await emulator.shutdown()]
            self.spans = list(emulator.otlp.received)
            self.output = [f"{source}: {text}" for source, text in emulator.output]


def _mapped_below(root: EmptyRoot) -> set[str]:
    """Every file that a process of the extension has mapped, as it is named inside the root."""
    mapped = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"/lrap_otel/__main__.py" not in (folder / "cmdline").read_bytes():
                continue
            if not (folder / "root/etc/hosts").samefile(root.folder / "etc/hosts"):
                continue
            lines = (folder / "maps").read_text().splitlines()
        except OSError:
            continue
        files = (line.split(maxsplit=5)[5] for line in lines if line.count("/"))
        mapped |= {name.removeprefix(str(root.folder)) for name in files}
    return {name for name in mapped if not name.startswith(("/dev/", "/memfd:"))}


def test_an_event_is_traced_over_http_and_shutdown_ends_it(root: EmptyRoot) -> None:
    run = Run(root, {})
    assert run.has_ended_well, (run.outcome, run.reports, run.output)
    (span,) = run.spans
    assert (span.name, span.parent_id_hex) == ("/pets/{id}", "00f067aa0ba902b7")
    carried = json.loads(run.outcome.payload)["headers"]["traceparent"]
    assert carried == f"00-4bf92f3577b34da6a3ce929d0e0e4736-{span.span_id_hex}-01"


@pytest.mark.parametrize("place", [LAMBDAS_CERTIFICATES, "etc/ssl/certs/ca-certificates.crt"])
def test_an_event_is_traced_over_https_with_the_systems_certificates(
    root: EmptyRoot, authority: Path, place: str
) -> None:
    root.write(place, authority.read_bytes())
    with Collector(tls=_server(authority)) as collector:
        run = Run(root, {"OTEL_EXPORTER_OTLP_ENDPOINT": f"https://localhost:{collector.port}"})
        (spans,) = [post.traces().resource_spans for post in collector.received("/v1/traces")]
    assert run.has_ended_well, (run.outcome, run.reports, run.output)
    assert [span.name for each in spans for scope in each.scope_spans for span in scope.spans] == [
        "/pets/{id}"
    ]


def test_without_any_certificates_of_the_system_the_layers_own_are_used_and_trust_no_stranger(
    root: EmptyRoot, authority: Path
) -> None:
    with Collector(tls=_server(authority)) as collector:
        run = Run(root, {"OTEL_EXPORTER_OTLP_ENDPOINT": f"https://localhost:{collector.port}"})
        assert collector.received() == []
    assert run.outcome.status == "success"
    (warning,) = [text for text in run.output if "traces" in text]
    assert "certificate" in warning
    assert "no file" not in warning


def test_no_library_of_the_system_is_used_even_where_all_of_them_are_unusable(
    root: EmptyRoot,
) -> None:
    for folder in (
        "lib",
        "lib64",
        "usr/lib",
        "usr/lib64",
        "lib/x86_64-linux-gnu",
        "lib/aarch64-linux-gnu",
    ):
        for name in (
            "libc.so.6",
            "libm.so.6",
            "libz.so.1",
            "libexpat.so.1",
            "libssl.so.3",
            "libcrypto.so.3",
        ):
            root.write(f"{folder}/{name}", b"not an ELF file", 0o755)
    root.write("etc/ld.so.cache", b"glibc-ld.so.cache1.1" + bytes(64))
    root.write("etc/ld.so.conf", "/usr/lib64\n")
    run = Run(root, {})
    assert run.has_ended_well, (run.outcome, run.reports, run.output)
    assert len(run.spans) == 1
    assert f"/opt/lrap-otel/{root.architecture}/lib/libc.so.6" in run.mapped
    assert {
        name for name in run.mapped if not name.startswith("/opt/") and "qemu-" not in name
    } == set()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost, signed by itself, its key in the same file."""
    path = tmp_path_factory.mktemp("authority") / "certificate.pem"
    return write_certificate(path, "DNS:localhost,IP:127.0.0.1")


def _server(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    return context
