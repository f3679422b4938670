"""The function's AWS credentials: its environment's, or those that the container credentials
endpoint gives.

Sources: AWS SDKs and Tools Reference Guide, "Container credential provider" and "Environment
variables"; AWS Lambda Developer Guide, "SnapStart", "Credentials".
"""

from time import time

from lrap_otel.telemetry.export.aws.sigv4 import Credentials
from lrap_otel.telemetry.export.connection import Connection, ExportError, NotSentError
from lrap_otel.telemetry.json_text import as_text, parse_object
from lrap_otel.telemetry.triggers.times import from_iso
from lrap_otel.telemetry.url import Url, is_loopback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.environment import Environment
    from lrap_otel.telemetry.export.deadline import Deadline

URI_VARIABLE = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN_VARIABLE = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 - a variable's name
TOKEN_FILE_VARIABLE = f"{TOKEN_VARIABLE}_FILE"
# The hosts of ECS and EKS, which speak plain HTTP beside loopback.
_HOSTS = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23"})
# Renewed so long before they expire; AWS's endpoints have the next ones ready by then.
_RENEW_BEFORE_S = 300.0
_TIMEOUT_S = 2.0
_TOKEN_LIMIT_BYTES = 65_536
_ERROR = "credentials"


class CredentialSource:
    """Gives credentials that are valid now. One thread at a time uses it."""

    def __init__(self, read: "Environment", now_s: "Callable[[], float]" = time) -> None:
        """`now_s` is Unix time."""
        self._read = read
        self._now_s = now_s
        self._fetched: Credentials | None = None
        self._connection: Connection | None = None

    def credentials(self, deadline: "Deadline") -> Credentials:
        """Those in force.

        Those of AWS_CONTAINER_CREDENTIALS_FULL_URI come before the environment's: a sandbox that
        has both was made from a snapshot, with whose keys the environment was filled. Raises
        NotSentError, with a text for people, if there are none.
        """
        if not self._read.text(URI_VARIABLE):
            return self._of_environment()
        known = self._fetched
        if known is not None and known.expires_s - _RENEW_BEFORE_S > self._now_s():
            return known
        try:
            self._fetched = self._fetch(deadline)
        except NotSentError:
            if known is None or known.expires_s <= self._now_s():
                raise
            return known
        return self._fetched

    def renew(self) -> bool:
        """Fetch others the next time. False if these are all there are."""
        has_others = self._fetched is not None
        self._fetched = None
        return has_others

    def forget(self) -> None:
        """A snapshot has been restored: what was fetched belongs to another sandbox."""
        self._fetched = self._connection = None

    def _of_environment(self) -> Credentials:
        text = self._read.text
        key_id, secret = text("AWS_ACCESS_KEY_ID"), text("AWS_SECRET_ACCESS_KEY")
        if not key_id or not secret:
            raise NotSentError(
                _ERROR,
                f"no AWS credentials are there: neither AWS_ACCESS_KEY_ID and "
                f"AWS_SECRET_ACCESS_KEY nor {URI_VARIABLE}",
            )
        return Credentials(key_id, secret, text("AWS_SESSION_TOKEN"))

    def _fetch(self, deadline: "Deadline") -> Credentials:
        fields = {"Accept": "application/json"}
        if token := self._token():
            fields["Authorization"] = token
        try:
            reply = self._connected().get(fields, deadline.within(_TIMEOUT_S))
        except ExportError as error:
            raise NotSentError(
                error.error_type, f"AWS credentials could not be fetched: {error}"
            ) from error
        if reply.status != 200:
            raise NotSentError(
                _ERROR,
                f"AWS credentials could not be fetched: {URI_VARIABLE} answered {reply.status}",
            )
        members = parse_object(reply.body)
        key_id, secret, token = (
            as_text(members.get(name)) for name in ("AccessKeyId", "SecretAccessKey", "Token")
        )
        if not key_id or not secret:
            raise NotSentError(
                _ERROR, f"AWS credentials could not be fetched: {URI_VARIABLE} gave none"
            )
        expires_s = from_iso(members.get("Expiration"))
        return Credentials(key_id, secret, token, float("inf") if expires_s is None else expires_s)

    def _connected(self) -> Connection:
        if self._connection is None:
            try:
                url = Url(self._read.text(URI_VARIABLE))
            except ValueError as error:
                raise NotSentError(_ERROR, f"{URI_VARIABLE} cannot be used: {error}") from None
            if url.scheme != "http" or not (is_loopback(url.host) or url.host in _HOSTS):
                raise NotSentError(
                    _ERROR,
                    f"{URI_VARIABLE} is not used: it is neither this machine's nor ECS's or EKS's",
                )
            self._connection = Connection(url)
        return self._connection

    def _token(self) -> str:
        """The value of the ``Authorization`` field. The file may change, so it is read
        each time.
        """
        path = self._read.text(TOKEN_FILE_VARIABLE)
        token = self._read.text(TOKEN_VARIABLE)
        if path:
            try:
                with open(path, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 - slow to import
                    token = file.read(_TOKEN_LIMIT_BYTES).strip()
            except OSError as error:
                raise NotSentError(
                    _ERROR, f"{TOKEN_FILE_VARIABLE} cannot be read: {error.strerror}"
                ) from error
        if not token.isprintable():
            raise NotSentError(
                _ERROR,
                "the authorization token of the credentials endpoint has a control character",
            )
        return token
