"""Which proxy leads to a collector, by the variables that HTTP clients share.

The answers are those of `requests`, the HTTP client of OpenTelemetry's own exporter, with one
difference: nothing on the loopback goes through a proxy, for which that is another machine. Go's
HTTP client has that rule as well.
"""

from _socket import inet_aton

from lrap_otel.telemetry.url import Url, is_loopback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.telemetry.settings import NetworkSettings


def proxy_for(url: Url, settings: "NetworkSettings") -> Url | None:
    """The proxy for requests to `url`; None if there is none.

    Raises ValueError if the setting is no URL, or one of a kind of proxy that we do not speak to
    (SOCKS, or TLS on the way to the proxy).
    """
    text = settings.https_proxy if url.scheme == "https" else settings.http_proxy
    port = url.port if url.has_port else None
    if not text or is_loopback(url.host) or is_exempt(url.host, port, settings.no_proxy):
        return None
    try:
        proxy = Url(text if "://" in text else f"http://{text}")
    except ValueError as error:
        raise ValueError(f"its proxy cannot be used: {error}") from None
    if proxy.scheme != "http":
        raise ValueError("its proxy cannot be used: it is no http:// URL")
    return proxy


def is_exempt(host: str, port: int | None, no_proxy: str) -> bool:
    """Whether `no_proxy` names this host. `port` is None if the URL names none.

    It is a comma-separated list of host names (each for all names that end in it, too), with or
    without a port, of IPv4 addresses and networks (``10.0.0.0/8``); ``*`` alone is everything.
    """
    if no_proxy.strip() == "*":
        return True
    address = _ipv4(host)
    for entry in no_proxy.replace(" ", "").lower().split(","):
        name = entry.lstrip(".")
        if not name:
            continue
        if host == name or host.endswith("." + name):
            return True
        if address is None and port is not None and f".{host}:{port}".endswith("." + name):
            return True
        if address is not None and _is_within(address, name):
            return True
    return False


def _ipv4(host: str) -> int | None:
    try:
        return int.from_bytes(inet_aton(host), "big")
    except (OSError, ValueError):
        return None


def _is_within(address: int, network: str) -> bool:
    base, slash, length = network.partition("/")
    network_address = _ipv4(base)
    if not slash or network_address is None or not (length.isascii() and length.isdigit()):
        return False
    bits = int(length)
    return 1 <= bits <= 32 and (address ^ network_address) >> (32 - bits) == 0
