"""The URLs of endpoints and HTTP proxies, parsed."""

from _socket import AF_INET6, inet_aton, inet_pton
from binascii import b2a_base64

from lrap_otel.telemetry.percent import unquoted

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HIGHEST_PORT = 65_535
_PORT_DIGITS = 5
_LOOPBACK = bytes(15) + b"\x01"
_MALFORMED_IPV6 = "it has a malformed IPv6 address"


class Url:
    """An ``http`` or ``https`` URL.

    `host` is in lower case, an IPv6 address without brackets. `address` is host and port as the URL
    has them (the ``Host`` field). `has_port` is false if the port is the scheme's default. `path`
    starts with a slash and includes the query. `authorization` is the value of an HTTP field with
    the URL's credentials, empty if it has none.
    """

    __slots__ = ("address", "authorization", "has_port", "host", "path", "port", "scheme")

    def __init__(self, text: str) -> None:
        """Raises ValueError, whose text repeats no part of `text`, if it is not such a URL."""
        scheme, separator, rest = text.partition("://")
        self.scheme = scheme.lower()
        if not separator or self.scheme not in _DEFAULT_PORTS:
            raise ValueError("it is no http:// or https:// URL")
        rest = rest.partition("#")[0]
        end = min((at for at in map(rest.find, "/?") if at >= 0), default=len(rest))
        credentials, _, address = rest[:end].rpartition("@")
        self.address = _ascii(address)
        self.path = _quoted(rest[end:] if rest.startswith("/", end) else f"/{rest[end:]}")
        if "[" in credentials or "]" in credentials:  # In a password they are percent-encoded.
            raise ValueError(_MALFORMED_IPV6)
        self.host, port = _host_and_port(self.address)
        self.has_port = port > 0
        self.port = port or _DEFAULT_PORTS[self.scheme]
        self.authorization = _basic(credentials) if credentials else ""

    @property
    def authority(self) -> str:
        """Host and port, with the default port if the URL has none: the target of a CONNECT."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        """The URL without credentials and query, which may contain secrets."""
        return f"{self.scheme}://{self.address}{self.path.partition('?')[0]}"


def _ascii(address: str) -> str:
    """An international name in the form that the DNS has. Loads a codec that few addresses need."""
    if address.isascii():
        return address
    try:
        return address.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError("it has a host that is no name") from None


def is_loopback(host: str) -> bool:
    """Whether `host`, as in `Url.host`, is this machine."""
    try:
        return inet_aton(host)[0] == 127
    except (OSError, ValueError):
        return host == "localhost" or (_is_ipv6(host) and inet_pton(AF_INET6, host) == _LOOPBACK)


def _host_and_port(address: str) -> tuple[str, int]:
    """Host and port; the port is 0 if there is none."""
    if address.startswith("["):
        host, bracket, port = address[1:].partition("]")
        if not bracket or (port and not port.startswith(":")) or not _is_ipv6(host):
            raise ValueError(_MALFORMED_IPV6)
        port = port[1:]
    else:
        host, _, port = address.partition(":")
    if not host or any(not " " < character != "\x7f" or character in "[]\\" for character in host):
        raise ValueError("it has no host")
    if port and not (
        port.isascii()
        and port.isdigit()
        and len(port) <= _PORT_DIGITS
        and 0 < int(port) <= _HIGHEST_PORT
    ):
        raise ValueError("it has a port that is none")
    return host.lower(), int(port or 0)


def _is_ipv6(text: str) -> bool:
    try:
        inet_pton(AF_INET6, text)
    except (OSError, ValueError):
        return False
    return True


def _quoted(path: str) -> str:
    """`text` with characters that a request line cannot contain percent-encoded."""
    if path.isascii() and path.isprintable() and " " not in path:
        return path
    return "".join(
        chr(byte) if 0x20 < byte < 0x7F else f"%{byte:02X}"
        for byte in path.encode("utf-8", "surrogateescape")
    )


def _basic(credentials: str) -> str:
    user, _, password = credentials.partition(":")
    # The bytes of a variable that is not UTF-8.
    pair = f"{unquoted(user)}:{unquoted(password)}".encode("utf-8", "surrogateescape")
    return f"Basic {b2a_base64(pair, newline=False).decode()}"
