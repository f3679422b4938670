"""What is withheld from attributes: values of URL parameters with secret names, and what the user
excludes.

All attributes and failures pass through `Privacy` on their way to a span, so a new trigger is
covered without further code.

Sources: OpenTelemetry, "Semantic conventions for URL" (``url.query``, ``url.full``), which require
values of signing parameters and credentials to be replaced by ``REDACTED``.
"""

from __future__ import annotations

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.failures import Failure
from lrap_otel.telemetry.percent import unquoted_plus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from lrap_otel.telemetry.semconv import Attributes, Value

REDACTED = "REDACTED"

# Names are compared in lower case, without percent-encoding and without "-", "_", ".", brackets
# and blanks: "X-Amz-Signature" is "xamzsignature", "user[password]" is "userpassword".
# A name is secret if it contains one of these ...
SECRET_PARTS = (
    "accesskey",
    "apikey",
    "assertion",
    "authorization",
    "credential",
    "csrf",
    "jwt",
    "oauth",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "saml",
    "secret",
    "sessionid",
    "signature",
    "token",
    "xsrf",
)
# ... or if it is one of these. As parts of longer names they mean other things ("zipcode").
SECRET_NAMES = frozenset(
    {
        "auth",
        "bearer",
        "code",
        "codeverifier",
        "cookie",
        "cvc",
        "cvv",
        "hmac",
        "jsessionid",
        "otp",
        "pass",
        "phpsessid",
        "pin",
        "session",
        "sid",
        "sig",
        "subscriptionkey",
        "ticket",
    }
)

_LEFT_OUT_OF_NAMES = str.maketrans("", "", "-_.[]")
# A longer text is searched, and sent, up to here: no server takes such a URL.
_LIMIT_CHARACTERS = 65_536
# A parameter may contain a URL whose parameter contains another: "next=%2Flogin%3Fcode%3D1".
_DEEPEST = 3
_ADDRESSES = frozenset({semconv.CLIENT_ADDRESS, semconv.NETWORK_PEER_ADDRESS})


class Privacy:
    """What is withheld. `names` are the user's additions to the secret names, normalized."""

    __slots__ = ("exception", "has_client_address", "has_query", "names")

    def __init__(
        self,
        names: frozenset[str] = frozenset(),
        has_query: bool = True,
        has_client_address: bool = True,
        exception: str = "stack",
    ) -> None:
        self.names = names
        self.has_query = has_query
        self.has_client_address = has_client_address
        self.exception = exception

    @classmethod
    def of_names(
        cls, names: tuple[str, ...], *, has_query: bool, has_client_address: bool, exception: str
    ) -> Privacy:
        """The same from names as the user writes them. `exception` says how much of an exception is
        sent: ``type``, ``message`` or ``stack``, each with those before it.
        """
        return cls(frozenset(map(_normalized, names)), has_query, has_client_address, exception)

    def of_attributes(self, attributes: Mapping[str, Value]) -> Attributes:
        """`attributes` without what is withheld."""
        return {
            name: self._value(name, value)
            for name, value in attributes.items()
            if not (name in _ADDRESSES and not self.has_client_address)
            and not (name == semconv.URL_QUERY and not self.has_query)
        }

    def of_failure(self, failure: Failure) -> Failure:
        """`failure` without what is withheld. Its type, a class name, is always sent."""
        return Failure(
            failure.type,
            self.of_text(failure.message) if self.exception != "type" else "",
            self.of_text(failure.stack) if self.exception == "stack" else "",
            failure.is_exception,
        )

    def of_text(self, text: str) -> str:
        """`text` with the secrets of its URLs replaced: parameters' values, and credentials before
        a host.
        """
        if "://" in text and "@" in text:
            text = str(_patterns().CREDENTIALS.sub(f"{REDACTED}:{REDACTED}@", text))
        if "=" not in text:
            return text
        looked_through = text[:_LIMIT_CHARACTERS]
        replaced: str = _patterns().PARAMETER.sub(
            lambda found: found[1] + self._parameter(found[3], found[4], 1), looked_through
        )
        return replaced

    def of_query(self, query: str) -> str:
        """A URL's query (without its question mark) with the values of secret
        parameters replaced.
        """
        return "&".join(self._pair(pair, 1) for pair in query[:_LIMIT_CHARACTERS].split("&"))

    def is_secret(self, name: str) -> bool:
        """Whether the value of a parameter of this name, percent-encoded or not, is withheld."""
        plain = _normalized(name)
        return (
            plain in SECRET_NAMES
            or plain in self.names
            or any(part in plain for part in SECRET_PARTS)
        )

    def _value(self, name: str, value: Value) -> Value:
        if not isinstance(value, str):
            return value
        return self.of_query(value) if name == semconv.URL_QUERY else self.of_text(value)

    def _pair(self, pair: str, depth: int) -> str:
        name, equals, value = pair.partition("=")
        if "%" in name and self._holds_secret(name, depth):
            return REDACTED
        return self._parameter(name, value, depth) if equals else pair

    def _parameter(self, name: str, value: str, depth: int) -> str:
        if not value or not (self.is_secret(name) or self._holds_secret(value, depth)):
            return f"{name}={value}"
        return f"{name}={REDACTED}"

    def _holds_secret(self, value: str, depth: int) -> bool:
        """Whether `value` is, or contains, a URL or a query with a secret parameter;
        percent-encoded or not.
        """
        if "=" not in value and "%" not in value:
            return False
        if any(
            found[4] and self.is_secret(found[3])
            for found in _patterns().PARAMETER.finditer("&" + value)
        ):
            return True
        plain = unquoted_plus(value) if "%" in value else value
        return plain != value and (depth >= _DEEPEST or self._holds_secret(plain, depth + 1))


def _patterns() -> ModuleType:
    """The compiled patterns. Loaded by the first text that may need them: `re` takes 8 ms to
    import.
    """
    from lrap_otel.telemetry import redaction_patterns  # noqa: PLC0415 - see above

    return redaction_patterns


def _normalized(name: str) -> str:
    # Decoded twice: a server that decodes twice reads a name that is encoded twice.
    for _ in range(2):
        if "%" in name or "+" in name:
            name = unquoted_plus(name)
    return "".join(name.translate(_LEFT_OUT_OF_NAMES).split()).lower()
