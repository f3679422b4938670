"""AWS Signature Version 4, for one request with its body at hand.

Source: AWS, "Signature Version 4 for API requests", "Create a signed AWS API request".
"""

from time import gmtime, strftime

from lrap_otel.telemetry.percent import unquoted

# `hashlib` takes 3 ms to import and loads OpenSSL's libcrypto; this is the same in C, without it.
try:
    from _sha2 import sha256  # type: ignore[import-not-found]  # Python 3.12 and later
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found]  # Python 3.10 and 3.11
    except ImportError:
        from hashlib import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ALGORITHM = "AWS4-HMAC-SHA256"
# What a hop on the way may add, change or take away.
_UNSIGNED = frozenset(
    {
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amzn-trace-id",
    }
)
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# Source: RFC 2104.
_BLOCK_BYTES = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class Credentials:
    """Temporary or lasting credentials. `session_token` is empty for lasting ones; `expires_s` is
    Unix time, infinite if it is not known.
    """

    __slots__ = ("access_key_id", "expires_s", "secret_access_key", "session_token")

    def __init__(
        self,
        access_key_id: str,
        secret_access_key: str,
        session_token: str = "",
        expires_s: float = float("inf"),
    ) -> None:
        self.access_key_id = access_key_id
        self.secret_access_key = secret_access_key
        self.session_token = session_token
        self.expires_s = expires_s


def signed_fields(
    method: str,
    address: str,
    target: str,
    fields: "Mapping[str, str]",
    body: bytes,
    credentials: Credentials,
    region: str,
    service: str,
    now_s: float,
) -> dict[str, str]:
    """`fields` and those that authorise the request: the date, the session's token, the signature.

    `address` is what the ``Host`` field says, `target` the request line's path and query, `fields`
    all other header fields, and `body` the bytes sent (compressed, if they are). `now_s` is Unix
    time; AWS takes a request within minutes of it.
    """
    at = strftime("%Y%m%dT%H%M%SZ", gmtime(now_s))
    signed = {**fields, "X-Amz-Date": at}
    if credentials.session_token:
        signed["X-Amz-Security-Token"] = credentials.session_token
    names, canonical = _canonical_request(method, address, target, signed, body)
    day = at[:8]
    scope = f"{day}/{region}/{service}/aws4_request"
    text = (
        f"{ALGORITHM}\n{at}\n{scope}\n"
        f"{sha256(canonical.encode('utf-8', 'surrogateescape')).hexdigest()}"
    )
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac_sha256(key, part.encode())
    signature = hmac_sha256(key, text.encode()).hex()
    credential = f"Credential={credentials.access_key_id}/{scope}"
    signed["Authorization"] = (
        f"{ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature}"
    )
    return signed


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """The keyed hash.

    Source: RFC 2104.
    """
    block = (sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    inner = sha256(block.translate(_INNER) + message).digest()
    digest: bytes = sha256(block.translate(_OUTER) + inner).digest()
    return digest


def _canonical_request(
    method: str, address: str, target: str, fields: "Mapping[str, str]", body: bytes
) -> tuple[str, str]:
    """The names of the signed fields, and the request in the one form that both sides hash."""
    lines = {name.lower(): " ".join(value.split()) for name, value in fields.items()}
    lines["host"] = address
    names = sorted(lines.keys() - _UNSIGNED)
    path, _, query = target.partition("?")
    joined = ";".join(names)
    return joined, "\n".join(
        [
            method,
            _canonical_path(path),
            _canonical_query(query),
            *[f"{name}:{lines[name]}" for name in names],
            "",
            joined,
            sha256(body).hexdigest(),
        ]
    )


def _canonical_path(path: str) -> str:
    """`path` without dot segments and empty ones, encoded once more, as every service
    but S3 wants.
    """
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in {"", "."}:
            segments.append(segment)
    is_folder = bool(segments) and path.endswith("/")
    return "/" + "/".join(map(_encoded, segments)) + "/" * is_folder


def _canonical_query(query: str) -> str:
    """The parameters sorted by name and value, each encoded in one way."""
    pairs = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if part:
            pairs.append(
                tuple(_encoded(unquoted(text, "surrogateescape")) for text in (name, value))
            )
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _encoded(text: str) -> str:
    encoded = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in encoded)
