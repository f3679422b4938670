"""Calls of AWS's JSON services: a signed POST of one object, and the object that comes back.

Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints" and "Dual-stack and FIPS
endpoints".
"""

from _json import encode_basestring_ascii
from time import time

from lrap_otel.telemetry.export.aws.credentials import CredentialSource
from lrap_otel.telemetry.export.aws.hosts import service_host
from lrap_otel.telemetry.export.aws.sigv4 import signed_fields
from lrap_otel.telemetry.export.connection import Connection, ExportError, NotSentError
from lrap_otel.telemetry.export.endpoint import secrets_of, shown
from lrap_otel.telemetry.export.proxies import proxy_for
from lrap_otel.telemetry.json_text import as_text, parse_object
from lrap_otel.telemetry.url import Url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from lrap_otel.environment import Environment
    from lrap_otel.telemetry.export.deadline import Deadline
    from lrap_otel.telemetry.export.tls import Tls
    from lrap_otel.telemetry.settings import NetworkSettings

# The variables by which users give a service another address.
_OWN_ENDPOINTS = {
    "secretsmanager": "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "ssm": "AWS_ENDPOINT_URL_SSM",
}
_EVERY_ENDPOINT = "AWS_ENDPOINT_URL"


class RefusedError(Exception):
    """The service refused the call: `code` is its word for why, `text` what it says to people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code


class Api:
    """AWS's services, with the function's credentials. One thread at a time uses it."""

    def __init__(
        self, read: "Environment", network: "NetworkSettings", tls: "Callable[[], Tls]"
    ) -> None:
        """`tls` is called once https is needed."""
        self._read = read
        self._network = network
        self._tls = tls
        self._source = CredentialSource(read)

    def call(
        self,
        service: str,
        region: str,
        operation: str,
        members: "Mapping[str, str | bool]",
        deadline: "Deadline",
    ) -> "dict[str, Any]":
        """The object that `operation` (``secretsmanager.GetSecretValue``) returns for `members`.

        Raises RefusedError, and NotSentError if there was no answer.
        """
        url = Url(self._address(service, region))
        fields = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": operation}
        credentials = self._source.credentials(deadline)
        body = _json(members)
        signed = signed_fields(
            "POST", url.address, url.path, fields, body, credentials, region, service, time()
        )
        tls = self._tls() if url.scheme == "https" else None
        connection = Connection(url, proxy_for(url, self._network), tls)
        try:
            reply = connection.post(signed, body, deadline)
        except ExportError as error:
            raise NotSentError(error.error_type, f"{url}: {error}") from error
        finally:
            connection.close()
        answer = parse_object(reply.body)
        if reply.status == 200:
            return answer
        code = as_text(answer.get("__type")).rpartition("#")[2] or str(reply.status)
        if "expired" in code.lower():
            self._source.renew()
        keys = (credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
        said = as_text(answer.get("message")) or as_text(answer.get("Message"))
        raise RefusedError(code, shown(said, secrets_of(keys)))

    def forget(self) -> None:
        """A snapshot has been restored."""
        self._source.forget()

    def _address(self, service: str, region: str) -> str:
        """ValueError if the user's address cannot be used."""
        text = self._read.text
        given = text(_OWN_ENDPOINTS[service]) or text(_EVERY_ENDPOINT)
        is_fips = text("AWS_USE_FIPS_ENDPOINT") == "true"
        return given or f"https://{service_host(service, region, is_fips=is_fips)}/"


def _json(members: "Mapping[str, str | bool]") -> bytes:
    pairs = [f"{encode_basestring_ascii(name)}:{_value(value)}" for name, value in members.items()]
    return f"{{{','.join(pairs)}}}".encode("ascii")


def _value(value: str | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return encode_basestring_ascii(value)
