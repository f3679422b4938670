"""Which way leads to the collector: URLs, and proxies as `requests` would choose them."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st

from lrap_otel.telemetry.export.proxies import proxy_for
from lrap_otel.telemetry.settings import ExportSettings
from lrap_otel.telemetry.url import Url
from tests.telemetry.otlp_collector import PATIENCE_S, Collector, reply
from tests.telemetry.proxy_records import invocations
from tests.telemetry.telemetry_thread import spans_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

PROXIES = ["", "http://proxy.test:3128", "proxy.test:3128", "http://me:se%40cret@10.1.2.3:8080"]
HOSTS = [
    "collector.test",
    "a.collector.test",
    "acollector.test",
    "10.20.30.40",
    "192.168.1.7",
    "[2001:db8::1]",
]
ENTRIES = [
    *(
        "",
        " ",
        "*",
        "collector.test",
        ".collector.test",
        "COLLECTOR.test",
        "test",
        "other.test",
        "tor.test",
    ),
    *(
        "collector.test:4318",
        "collector.test:80",
        "10.20.30.40",
        "10.20.0.0/16",
        "10.21.0.0/16",
        "10.20.30.40/33",
    ),
    *("0.0.0.0/0", "10.20.30.40/x", "192.168.1.0/24", "30.40", "2001:db8::1", "/", "10.0.0.0/8/8"),
]


def settings(variables: Mapping[str, str]) -> ExportSettings:
    return ExportSettings({name.encode(): value.encode() for name, value in variables.items()})


def chosen(url: str, variables: Mapping[str, str]) -> str:
    """The proxy, as host and port and credentials; empty if there is none."""
    proxy = proxy_for(Url(url), settings(variables).network)
    return f"{proxy.authority} {proxy.authorization}" if proxy else ""


def chosen_by_requests(url: str, variables: Mapping[str, str]) -> str:
    with patch.dict(os.environ, variables, clear=True), requests.Session() as session:
        proxies = session.merge_environment_settings(url, {}, None, None, None)["proxies"]
        text = requests.utils.select_proxy(url, proxies)
        if not text:
            return ""
        proxy = Url(text if "://" in text else f"http://{text}")
        fields = session.get_adapter(url).proxy_headers(text if "://" in text else f"http://{text}")
        return f"{proxy.authority} {fields.get('Proxy-Authorization', '')}"


@given(
    scheme=st.sampled_from(["http", "https"]),
    host=st.sampled_from(HOSTS),
    port=st.sampled_from(["", ":4318", ":80"]),
    given_proxies=st.dictionaries(
        st.sampled_from(
            ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
        ),
        st.sampled_from(PROXIES),
    ),
    no_proxy=st.lists(st.sampled_from(ENTRIES), max_size=3).map(",".join),
    name=st.sampled_from(["no_proxy", "NO_PROXY"]),
)
# An entry with a port does not name an address that has none.
@example("http", "collector.test", "", {"all_proxy": PROXIES[1]}, "collector.test:80", "no_proxy")
def test_the_proxy_is_the_one_that_requests_would_take(
    scheme: str, host: str, port: str, given_proxies: dict[str, str], no_proxy: str, name: str
) -> None:
    variables = given_proxies | {name: no_proxy}
    url = f"{scheme}://{host}{port}/v1/traces"
    assert chosen(url, variables) == chosen_by_requests(url, variables)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "LOCALHOST", "[::1]"])
def test_nothing_on_this_machine_goes_through_a_proxy(host: str) -> None:
    assert chosen(f"http://{host}:4318/v1/traces", {"http_proxy": "http://proxy.test:3128"}) == ""


@pytest.mark.parametrize(
    "proxy", ["socks5://proxy.test:1080", "https://proxy.test:443", "http://proxy.test:x"]
)
def test_a_proxy_that_we_do_not_speak_to_is_told_and_nothing_is_sent_past_it(
    start: Start, proxy: str
) -> None:
    telemetry = start(
        None, OTEL_EXPORTER_OTLP_ENDPOINT="http://collector.test:4318", all_proxy=proxy
    )
    telemetry.offer(*invocations(1))
    assert telemetry.flush()
    assert all("its proxy cannot be used" in warning for warning in telemetry.warnings)
    assert len(telemetry.warnings) == 2


class Proxy:
    """A proxy for CONNECT, that leads everywhere to one place."""

    def __init__(
        self, port: int, answer: bytes = b"HTTP/1.1 200 Connected\r\nX: y\r\n\r\n"
    ) -> None:
        self._port = port
        self._answer = answer
        self.heads: list[bytes] = []

    @contextmanager
    def serving(self) -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            yield f"127.0.0.1:{listener.getsockname()[1]}"
            listener.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(
                    target=self._serve, args=(listener.accept()[0],), daemon=True
                ).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65_536)
            self.heads.append(head)
            client.sendall(self._answer)
            if b" 200 " not in self._answer:
                return
            with socket.create_connection(("127.0.0.1", self._port)) as server:
                back = threading.Thread(target=copy, args=(server, client), daemon=True)
                back.start()
                copy(client, server)
                back.join(PATIENCE_S)


def copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_http_goes_to_its_proxy_with_the_whole_url_and_the_proxy_s_credentials(
    start: Start, collector: Collector
) -> None:
    telemetry = start(
        None,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://collector.test:4318/base?key=1",
        HTTP_PROXY=f"http://me:se%40cret@127.0.0.1:{collector.port}",
    )
    telemetry.offer(*invocations(1))
    assert telemetry.flush()

    post = collector.next("/base/v1/traces?key=1")
    assert post.path == "http://collector.test:4318/base/v1/traces?key=1"
    assert post.fields["host"] == "collector.test:4318"
    assert post.fields["proxy-authorization"] == "Basic bWU6c2VAY3JldA=="


def test_https_goes_through_its_proxy_and_the_proxy_sees_nothing_of_it(
    start: Start, certified: Callable[[str], Path]
) -> None:
    path = certified("DNS:collector.test")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    with Collector(tls=tls) as collector:
        proxy = Proxy(collector.port)
        with proxy.serving() as address:
            telemetry = start(
                None,
                OTEL_EXPORTER_OTLP_ENDPOINT="https://collector.test",
                OTEL_EXPORTER_OTLP_CERTIFICATE=str(path),
                OTEL_EXPORTER_OTLP_HEADERS="api-key=secret",
                https_proxy=f"me:word@{address}",
            )
            telemetry.offer(*invocations(1))
            assert telemetry.flush()
            telemetry.offer(*invocations(2))
            assert telemetry.flush()
            assert len(spans_of(collector)) == 2
    assert proxy.heads == 2 * [
        b"CONNECT collector.test:443 HTTP/1.1\r\nHost: collector.test:443\r\nProxy-Authorization: Basic bWU6d29yZA==\r\n\r\n"
    ]


@pytest.mark.parametrize(
    ("answer", "error_type", "reason"),
    [
        (reply(407), "proxy_407", "answered 407"),
        (reply(502), "proxy_502", "answered 502"),
        (b"", "proxy", "gave no answer"),
        (b"SSH-2.0-x\r\n\r\n", "proxy", "gave no answer"),
    ],
)
def test_a_proxy_that_refuses_is_named_and_costs_no_spans(
    start: Start, answer: bytes, error_type: str, reason: str
) -> None:
    with Proxy(0, answer).serving() as address:
        telemetry = start(
            None,
            OTEL_EXPORTER_OTLP_ENDPOINT="https://collector.test",
            HTTPS_PROXY=f"me:word@{address}",
        )
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
    (warning,) = (text for text in telemetry.warnings if text.startswith("traces"))
    assert (
        warning
        == f"traces could not be exported: https://collector.test/v1/traces: the proxy {address} {reason}"
    )


def test_a_proxy_that_is_not_there_is_named(start: Start, closed_port: int) -> None:
    proxy = f"127.0.0.1:{closed_port}"
    telemetry = start(None, OTEL_EXPORTER_OTLP_ENDPOINT="http://collector.test", HTTP_PROXY=proxy)
    telemetry.offer(*invocations(1))
    assert not telemetry.flush()
    reason = f"connection to the proxy {proxy} refused"
    assert (
        f"traces could not be exported: http://collector.test/v1/traces: {reason}"
        in telemetry.warnings
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("http://a", ("http", "a", 80, "a", "/")),
        ("HTTPS://A.B:/x", ("https", "a.b", 443, "A.B:", "/x")),
        ("http://u:p@a:1/x/?q=1&r=/2#f", ("http", "a", 1, "a:1", "/x/?q=1&r=/2")),
        ("http://a?q=/1", ("http", "a", 80, "a", "/?q=/1")),
        ("http://u@x@a/y@z", ("http", "a", 80, "a", "/y@z")),
        ("http://[2001:DB8::1]:4318/x", ("http", "2001:db8::1", 4318, "[2001:DB8::1]:4318", "/x")),
        ("http://a/b c\u00e9\r\nX: y", ("http", "a", 80, "a", "/b%20c%C3%A9%0D%0AX:%20y")),
        (
            "https://b\u00fccher.test:1/",
            ("https", "xn--bcher-kva.test", 1, "xn--bcher-kva.test:1", "/"),
        ),
        ("http://a/%20%zz", ("http", "a", 80, "a", "/%20%zz")),
    ],
)
def test_a_url_is_taken_apart_and_its_path_is_as_it_was_given(
    text: str, parts: tuple[Any, ...]
) -> None:
    url = Url(text)
    assert (url.scheme, url.host, url.port, url.address, url.path) == parts


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "a",
            "//a",
            "ftp://a",
            "http:/a",
            "http://",
            "http://:80",
            "http://u@",
            "http:///x",
            "http://a b/",
        ),
        *(
            "http://a:x",
            "http://a:0",
            "http://a:65536",
            "http://a:-1",
            "http://a:\u0661",
            "http://[::1",
            "http://[::1]x",
        ),
        *("http://a\r\nb/", "http://\udce9/", "http://\u00e9..a/"),
    ],
)
def test_what_is_no_url_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="it ") as caught:
        Url(text)
    assert not text or text not in str(caught.value)


@given(
    st.from_regex(
        r"https?://([a-z]{1,5}(:[a-z]{1,5})?@)?[a-z]{1,9}(:[1-9][0-9]{0,3})?(/[!-~]{0,20})?",
        fullmatch=True,
    )
)
def test_a_url_has_the_parts_that_the_standard_library_finds(text: str) -> None:
    ours, oracle = Url(text), urlsplit(text)
    default = 443 if oracle.scheme == "https" else 80
    assert (ours.host, ours.port) == (oracle.hostname, oracle.port or default)
    assert ours.path == (oracle.path or "/") + (
        f"?{oracle.query}" if "?" in text.partition("#")[0] else ""
    )


@given(st.text())
def test_no_text_makes_a_url_raise_anything_but_its_own_error(text: str) -> None:
    for candidate in (text, f"http://{text}"):
        with suppress(ValueError):
            str(Url(candidate))


def test_no_line_of_ours_shows_credentials_or_a_query() -> None:
    assert str(Url("https://me:secret@a.test:1/x?token=secret#f")) == "https://a.test:1/x"
