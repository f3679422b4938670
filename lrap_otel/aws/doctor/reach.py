"""Whether a collector answers an empty export (no spans, no metrics) from the exporter's own
client.

In the function's environment the request is the extension's, with credentials and proxies. From
elsewhere it has no credentials, and only shows whether the endpoint can be reached from here.
"""

from __future__ import annotations

import os
import socket
from time import monotonic
from typing import TYPE_CHECKING

from lrap_otel.aws.doctor.checks import destinations
from lrap_otel.aws.doctor.subject import encoded
from lrap_otel.environment import Environment
from lrap_otel.telemetry.export.aws.answers import TRANSACTION_SEARCH
from lrap_otel.telemetry.export.deadline import Deadline
from lrap_otel.telemetry.export.endpoint import Endpoint
from lrap_otel.telemetry.export.ways import endpoint_of
from lrap_otel.telemetry.settings import ExportSettings, NetworkSettings
from lrap_otel.telemetry.url import Url
from lrap_otel.telemetry.variable_checks import (
    ERROR,
    NOTE,
    WARNING,
    Finding,
    aws_service,
    is_public,
    split_url,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TIMEOUT_S = 5.0


def check_reach_as_the_extension(variables: Mapping[str, str], severity: str) -> Iterator[Finding]:
    """Send each signal's endpoint the request that the extension would send. `severity` is that of
    no answer.
    """
    export = ExportSettings(encoded(variables))
    silent: dict[str, str] = {}
    for signal in destinations(variables):
        settings = export.traces if signal == "traces" else export.metrics
        if settings.has_references:
            yield Finding(
                "secrets",
                NOTE,
                f"Whether the endpoint of {signal} answers is not asked: its settings refer to "
                f"secrets.",
                "The first export tells; lines of the extension's name a secret that it "
                "cannot read.",
            )
            continue
        try:
            endpoint = endpoint_of(settings, export, {})
        except (OSError, ValueError) as error:
            yield Finding(
                "unusable-endpoint",
                ERROR,
                f"The endpoint of {signal} cannot be used: {error}.",
                "Correct it.",
            )
            continue
        yield from _ask(signal, endpoint, silent, severity, is_here=True)


class FromHere:
    """Checks public endpoints from this machine, each once, however many functions use it."""

    def __init__(self) -> None:
        self._network = NetworkSettings(Environment(os.environb))
        self._silent: dict[str, str] = {}
        self._found: dict[tuple[str, str], list[Finding]] = {}

    def check(self, variables: Mapping[str, str], unknown: frozenset[str]) -> list[Finding]:
        """The findings about each signal's endpoint."""
        places = destinations(variables, unknown).items()
        return [finding for signal, url in places for finding in self._ask_once(signal, url)]

    def _ask_once(self, signal: str, url: str) -> list[Finding]:
        bare = str(Url(url))
        if (signal, bare) not in self._found:
            self._found[signal, bare] = (
                [*self._ask(signal, bare)] if is_public(split_url(bare)[1]) else []
            )
        return self._found[signal, bare]

    def _ask(self, signal: str, url: str) -> Iterator[Finding]:
        export = ExportSettings(encoded({f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT": url}))
        try:
            endpoint = Endpoint(
                export.traces if signal == "traces" else export.metrics, self._network, {}
            )
        except (OSError, ValueError):
            return  # A proxy or certificates of this machine: the result would say nothing.
        yield from _ask(signal, endpoint, self._silent, WARNING, is_here=False)


def _ask(
    signal: str, endpoint: Endpoint, silent: dict[str, str], severity: str, *, is_here: bool
) -> Iterator[Finding]:
    """Send one request. `silent` collects endpoints that did not answer, with the reason, so that
    the second signal need not wait too.
    """
    host = endpoint.url.authority
    error_type, text = "silent", silent.get(host, "")
    if not text:
        answer = endpoint.post(endpoint.empty_request, Deadline(monotonic() + TIMEOUT_S))
        endpoint.close()
        error_type, text = answer.error_type, answer.text
    if not error_type:
        return
    if error_type.isdecimal():
        yield from _meaning(signal, endpoint, int(error_type), text, is_here=is_here)
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


def _meaning(
    signal: str, endpoint: Endpoint, status: int, text: str, *, is_here: bool
) -> Iterator[Finding]:
    """The meaning of a status other than 2xx. Without credentials, only one of them has any."""
    place = f"{endpoint.url.scheme}://{endpoint.url.address}"
    if status in {404, 405}:
        yield Finding(
            "endpoint-path",
            ERROR if is_here else WARNING,
            f"{place} answers {status} for {signal}: nothing takes OTLP at this path.",
            "Compare it with what the collector's documentation says; /v1/traces is the usual one.",
        )
    elif not is_here:
        return
    elif aws_service(endpoint.url.host):
        # It has its own advice; of other answers to an export of nothing nothing is known.
        if status in {401, 403} or TRANSACTION_SEARCH in text:
            yield Finding(
                "aws-answer", ERROR, f"{place} takes no {signal} of ours: {text}.", "Do as it says."
            )
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
