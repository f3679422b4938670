"""AWS's own OTLP endpoints: every request is signed, and what AWS refuses is explained."""

from time import time

from lrap_otel.telemetry.export.aws.answers import advice, is_expired, is_stale
from lrap_otel.telemetry.export.aws.credentials import CredentialSource
from lrap_otel.telemetry.export.aws.hosts import otlp_service_of
from lrap_otel.telemetry.export.aws.sigv4 import signed_fields
from lrap_otel.telemetry.export.endpoint import ACCEPTED, REFUSED, Endpoint, secrets_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.environment import Environment
    from lrap_otel.telemetry.export.connection import Reply
    from lrap_otel.telemetry.export.deadline import Deadline
    from lrap_otel.telemetry.export.endpoint import Answer, TlsByFiles
    from lrap_otel.telemetry.settings import NetworkSettings, SignalSettings

_TEXT_LIMIT_BYTES = 4_096
_LOG_FIELDS = {"x-aws-log-group", "x-aws-log-stream"}
# An account may make 500 requests with metrics a second, and has many sandboxes.
_METRICS_APART_S = 60.0


class AwsEndpoint(Endpoint):
    """An endpoint whose host is AWS's.

    Requests are signed with the function's credentials, each attempt anew: a signature is valid for
    minutes. An ``Authorization`` field that the user has set (a bearer token) is sent as it is.
    """

    def __init__(
        self,
        settings: "SignalSettings",
        network: "NetworkSettings",
        tls: "TlsByFiles",
        read: "Environment",
        now_s: "Callable[[], float]" = time,
    ) -> None:
        """`read` reads variables: the credentials, or where they come from. `now_s` is Unix time.

        Raises ValueError or OSError, with a text for people, if the settings cannot be used.
        """
        super().__init__(settings, network, tls)
        self._service, self._region = otlp_service_of(self.url.host)
        if self._service == "logs" and not {name.lower() for name in self._fields} >= _LOG_FIELDS:
            raise ValueError(
                "AWS takes logs with "
                "OTEL_EXPORTER_OTLP_LOGS_HEADERS=x-aws-log-group=GROUP,x-aws-log-stream=STREAM "
                "alone, of a group and a stream that are there"
            )
        self.apart_s = _METRICS_APART_S if self._service == "monitoring" else 0.0
        self._source = CredentialSource(read)
        self._now_s = now_s
        self._is_signed = not any(name.lower() == "authorization" for name in self._fields)
        self._own_secrets = self._secrets

    def forget(self) -> None:
        """Close the connection and forget the credentials: they belong to another sandbox."""
        super().forget()
        self._source.forget()

    def _fields_for(self, body: bytes, deadline: "Deadline") -> dict[str, str]:
        if not self._is_signed:
            return self._fields
        keys = self._source.credentials(deadline)
        # AWS may repeat what was signed, and the session's token is part of it.
        self._secrets = self._own_secrets + secrets_of(
            (keys.access_key_id, keys.secret_access_key, keys.session_token)
        )
        url = self.url
        return signed_fields(
            "POST",
            url.address,
            url.path,
            self._fields,
            body,
            keys,
            self._region,
            self._service,
            self._now_s(),
        )

    def _meaning(self, reply: "Reply") -> "Answer":
        answer = super()._meaning(reply)
        if answer.outcome == ACCEPTED:
            return answer
        text = reply.body[:_TEXT_LIMIT_BYTES].decode("utf-8", "replace")
        if remedy := advice(self._service, self._region, reply.status, text, self.url.path):
            answer.text = f"{answer.text} ({remedy})"
        if is_stale(text) or (is_expired(text) and self._source.renew()):
            answer.outcome = REFUSED
        return answer
