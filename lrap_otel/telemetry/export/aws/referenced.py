"""An endpoint whose address or header fields hold references to secrets."""

from lrap_otel.telemetry.export.aws.references import with_values
from lrap_otel.telemetry.export.connection import NotSentError
from lrap_otel.telemetry.export.endpoint import REFUSED, Answer, Endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lrap_otel.telemetry.export.aws.secrets import Secrets
    from lrap_otel.telemetry.export.deadline import Deadline
    from lrap_otel.telemetry.settings import SignalSettings

# By which a collector says that what we sent opens nothing.
_REFUSED = frozenset({"401", "403"})


class ReferencedEndpoint:
    """As `Endpoint`, made once the secrets are known, and again when they have changed.

    Until they are known, every attempt is refused, so that what is to be sent waits. If the
    collector refuses secrets that may be old, they are looked up again and what was sent goes once
    more.
    """

    max_batch_bytes = Endpoint.max_batch_bytes

    def __init__(
        self,
        settings: "SignalSettings",
        secrets: "Secrets",
        make: "Callable[[SignalSettings], Endpoint]",
    ) -> None:
        """`make` makes an endpoint of settings in which every reference is replaced."""
        self._settings = settings
        self._secrets = secrets
        self._make = make
        self._endpoint: Endpoint | None = None
        self._used: Mapping[str, str] | None = None

    @property
    def url(self) -> str:
        """For people."""
        return self._settings.shown_url

    @property
    def apart_s(self) -> float:
        """As the endpoint's, once that is known."""
        return self._endpoint.apart_s if self._endpoint else 0.0

    def post(self, body: bytes, deadline: "Deadline", *, may_repeat: bool = True) -> Answer:
        """One attempt, as `Endpoint.post`."""
        try:
            used = self._secrets.values(deadline)
            endpoint = self._made(used)
        except NotSentError as error:
            return Answer(REFUSED, error.error_type, str(error))
        except (ValueError, OSError) as error:
            return Answer(REFUSED, "secret", f"what the secret holds cannot be used: {error}")
        answer = endpoint.post(body, deadline, may_repeat=may_repeat)
        if answer.error_type in _REFUSED and self._secrets.renew(used):
            return Answer(
                REFUSED, answer.error_type, f"{answer.text}; the secrets are looked up again"
            )
        return answer

    def close(self) -> None:
        """Close the connection; the next attempt opens a new one."""
        if self._endpoint is not None:
            self._endpoint.close()

    def forget(self) -> None:
        """A snapshot has been restored: its connection, and what its secrets were, are another
        sandbox's.
        """
        self.close()
        self._endpoint = self._used = None
        self._secrets.forget()

    def _made(self, values: "Mapping[str, str]") -> "Endpoint":
        """Raises ValueError or OSError, with a text for people, if what the references say cannot
        be used.
        """
        if self._endpoint is None or values != self._used:
            self.close()
            settings = self._settings
            headers = {name: with_values(text, values) for name, text in settings.headers.items()}
            # A path comes after an address, with one slash.
            addresses = {name: value.removesuffix("/") for name, value in values.items()}
            self._endpoint = self._make(
                settings.replaced(with_values(settings.url, addresses), headers)
            )
        self._used = values
        return self._endpoint
