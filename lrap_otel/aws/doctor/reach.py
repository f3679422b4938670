"""Whether a collector answers, asked by the exporter's own code: with an empty export, which holds
no spans and no metrics.

In the environment that the function runs in it is asked as the extension would ask it, credentials
and proxies included. From anywhere else it is asked without credentials, and its answer says no
more than that it can be reached from here.
"""

from __future__ import annotations

import os
import socket
from time import monotonic
from typing import TYPE_CHECKING

from lrap_otel.aws.doctor.checks import destinations
from lrap_otel.aws.doctor.subject import encoded
from lrap_otel.settings import Environment
from lrap_otel.telemetry.export.deadline import Deadline
from lrap_otel.telemetry.export.endpoint import Endpoint
from lrap_otel.telemetry.settings import ExportSettings, NetworkSettings
from lrap_otel.telemetry.url import Url
from lrap_otel.telemetry.variable_checks import ERROR, WARNING, Finding, aws_service, is_public, split_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TIMEOUT_S = 5.0


def check_reach_as_the_extension(variables: Mapping[str, str], severity: str) -> Iterator[Finding]:
    """Ask each signal's endpoint as the extension would. `severity` is that of no answer."""
    export = ExportSettings(encoded(variables))
    silent: dict[str, str] = {}
    for signal in destinations(variables):
        settings = export.traces if signal == "traces" else export.metrics
        try:
            endpoint = Endpoint(settings, export.network, {})
        except (OSError, ValueError) as error:
            yield Finding(
                "unusable-endpoint", ERROR, f"The endpoint of {signal} cannot be used: {error}.", "Correct it."
            )
            continue
        yield from _ask(signal, endpoint, silent, severity, is_here=True)


class FromHere:
    """Asks public endpoints from this machine, each once, however many functions send there."""

    def __init__(self) -> None:
        self._network = NetworkSettings(Environment(os.environb))
        self._silent: dict[str, str] = {}
        self._found: dict[tuple[str, str], list[Finding]] = {}

    def check(self, variables: Mapping[str, str], unknown: frozenset[str]) -> list[Finding]:
        """What is found at the endpoint of each signal."""
        places = destinations(variables, unknown).items()
        return [finding for signal, url in places for finding in self._ask_once(signal, url)]

    def _ask_once(self, signal: str, url: str) -> list[Finding]:
        bare = str(Url(url))
        if (signal, bare) not in self._found:
            self._found[signal, bare] = [*self._ask(signal, bare)] if is_public(split_url(bare)[1]) else []
        return self._found[signal, bare]

    def _ask(self, signal: str, url: str) -> Iterator[Finding]:
        export = ExportSettings(encoded({f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT": url}))
        try:
            endpoint = Endpoint(export.traces if signal == "traces" else export.metrics, self._network, {})
        except (OSError, ValueError):
            return  # a proxy or certificates of this machine's: nothing is known
        yield from _ask(signal, endpoint, self._silent, WARNING, is_here=False)


def _ask(signal: str, endpoint: Endpoint, silent: dict[str, str], severity: str, *, is_here: bool) -> Iterator[Finding]:
    """`silent` has those that did not answer, with why: one of both signals is enough to wait for."""
    host = endpoint.url.authority
    error_type, text = "silent", silent.get(host, "")
    if not text:
        answer = endpoint.post(b"", Deadline(monotonic() + TIMEOUT_S))
        endpoint.close()
        error_type, text = answer.error_type, answer.text
    if not error_type:
        return
    if error_type.isdecimal():
        yield from _meaning(signal, endpoint, int(error_type), is_here=is_here)
        return
    silent[host] = text
    place = f"{endpoint.url.scheme}://{endpoint.url.address}"
    yield Finding(
        "unreachable",
        severity,
        f"{place} cannot be reached from here ({socket.gethostname()}): {text}.",
        "Is the address right, does the collector run, and is there a route to it?"
        if is_here
        else "The function may reach it all the same: run `lrap-otel doctor` where it runs.",
    )


def _meaning(signal: str, endpoint: Endpoint, status: int, *, is_here: bool) -> Iterator[Finding]:
    """What another status than 2xx says. Without credentials only one says something."""
    place = f"{endpoint.url.scheme}://{endpoint.url.address}"
    if status in {404, 405}:
        yield Finding(
            "endpoint-path",
            ERROR if is_here else WARNING,
            f"{place} answers {status} for {signal}: nothing takes OTLP at this path.",
            "Compare it with what the collector's documentation says; /v1/traces is the usual one.",
        )
    elif not is_here or aws_service(endpoint.url.host):
        return
    elif status in {401, 403}:
        yield Finding(
            "credentials-refused",
            ERROR,
            f"{place} answers {status} for {signal}: it does not accept our credentials.",
            "Set OTEL_EXPORTER_OTLP_HEADERS as its documentation says.",
        )
    else:
        yield Finding(
            "endpoint-answer",
            WARNING,
            f"{place} answers {status} to an empty export of {signal}.",
            "Look into the collector's log.",
        )
