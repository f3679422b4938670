"""The values of references: looked up beside the function's work, kept for a time, never logged."""

import _socket
import _thread
import select
from time import monotonic

from lrap_otel.telemetry.export.aws.answers import READ_ACTIONS, statement
from lrap_otel.telemetry.export.aws.api import Api, RefusedError
from lrap_otel.telemetry.export.aws.references import Reference, references_in
from lrap_otel.telemetry.export.connection import TIMEOUT, NotSentError
from lrap_otel.telemetry.export.deadline import Clock, Deadline
from lrap_otel.telemetry.export.endpoint import shared_tls, shown
from lrap_otel.telemetry.export.retry import BackOff
from lrap_otel.telemetry.json_text import as_object, as_text, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lrap_otel.telemetry.export.endpoint import TlsByFiles
    from lrap_otel.telemetry.settings import ExportSettings, SignalSettings

# What was rotated is known after so long; sooner if the collector refuses the old value.
_LIFE_S = 300.0
# The shortest time between two look-ups because a collector refused: some refuse everything.
_RENEW_AFTER_S = 60.0
# For all of them; the proxy waits for none.
_LOOK_UP_S = 5.0
_ERROR = "secret"


class Secrets:
    """The values of some references, shared by all signals.

    They are looked up in a thread of their own: nothing waits for it but an export that needs them.
    After a failure there is a pause, which grows.
    """

    def __init__(
        self,
        texts: "Iterable[str]",
        make_api: "Callable[[], Api]",
        now_s: "Callable[[], float]" = monotonic,
        back_off: BackOff | None = None,
    ) -> None:
        """`texts` are what is between the braces. `now_s` also runs while the sandbox is frozen."""
        self._references = {text: Reference(text) for text in sorted(set(texts))}
        self._make_api = make_api
        self._now_s = now_s
        self._back_off = back_off or BackOff(now_s)
        # Held while the fields below are looked at or changed, never for long.
        self._lock = _thread.allocate_lock()
        self._values: Mapping[str, str] | None = None
        self._known_s = 0.0
        self._failure: NotSentError | None = None
        # Of the look-up that is under way: readable once it has ended.
        self._ended: _socket.socket | None = None

    def start(self) -> None:
        """Begin to look them up, without waiting."""
        with self._lock:
            self._look_up()

    def values(self, deadline: Deadline) -> "Mapping[str, str]":
        """All of them, by what is between the braces.

        Those that have been known for long are looked up again meanwhile. Raises NotSentError, with
        a text for people, if they are not known at `deadline`.
        """
        while True:
            with self._lock:
                is_old = self._values is None or self._now_s() - self._known_s > _LIFE_S
                if is_old and self._back_off.is_over:
                    self._look_up()
                if self._values is not None:
                    return self._values
                ended = self._ended
                if ended is None:
                    failure = self._failure or NotSentError(
                        _ERROR, "the secrets that it needs are not known"
                    )
                    raise NotSentError(failure.error_type, str(failure)) from self._failure
            try:
                deadline.wait(ended, select.POLLIN)
            except TimeoutError as error:
                raise NotSentError(
                    TIMEOUT, "the secrets that it needs are not known yet"
                ) from error

    def renew(self, used: "Mapping[str, str]") -> bool:
        """The collector has refused what was sent with the values `used`: look them up anew.

        False if they are newer than a minute: it refuses them for what they are.
        """
        with self._lock:
            if self._values is not used:
                return True
            if self._now_s() - self._known_s < _RENEW_AFTER_S:
                return False
            self._values = None
            self._look_up()
            return True

    def forget(self) -> None:
        """A snapshot has been restored: look them up anew."""
        with self._lock:
            self._values = self._failure = self._ended = None
            self._back_off.succeed()
            self._look_up()

    def _look_up(self) -> None:
        """Unless a look-up is under way. The lock is held."""
        if self._ended is not None:
            return
        try:
            ended, running = _socket.socketpair()
            self._ended = ended
            _thread.start_new_thread(self._run, (ended, running))
        except (RuntimeError, OSError) as error:
            self._ended = None
            self._fail(
                NotSentError(_ERROR, f"the secrets that it needs cannot be looked up: {error}")
            )

    def _run(self, ended: _socket.socket, running: _socket.socket) -> None:
        """In the thread. A look-up that was begun before a restore changes nothing after it."""
        values: dict[str, str] = {}
        failure: NotSentError | None = None
        clock = Clock()
        deadline = Deadline(clock.now_s() + _LOOK_UP_S, clock=clock)
        try:
            api = self._make_api()
            for text, reference in self._references.items():
                values[text] = _value(reference, api, deadline)
        except NotSentError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - whatever it is, the exports wait and the function does not
            failure = NotSentError(
                _ERROR, f"the secrets that it needs cannot be looked up: {type(error).__name__}"
            )
        with self._lock:
            if self._ended is ended:
                self._ended = None
                if failure is not None:
                    self._fail(failure)
                else:
                    self._values, self._known_s, self._failure = values, self._now_s(), None
                    self._back_off.succeed()
        running.close()

    def _fail(self, failure: NotSentError) -> None:
        self._failure = failure
        self._back_off.fail()


def secrets_of_settings(
    settings: "ExportSettings", signals: "Iterable[SignalSettings]", tls: "TlsByFiles"
) -> Secrets:
    """The secrets that these signals refer to, which are being looked up from now on.

    Not while a snapshot is made: what is known then would be in it, and stale when it is restored.
    """
    texts = [text for own in signals if own.enabled for text in (own.url, *own.headers.values())]

    def make_api() -> Api:
        return Api(
            settings.environment,
            settings.network,
            lambda: shared_tls(("", "", ""), settings.network, tls),
        )

    secrets = Secrets([each for text in texts for each in references_in(text)], make_api)
    if settings.environment.text("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
        secrets.start()
    return secrets


def _value(reference: Reference, api: Api, deadline: Deadline) -> str:
    """Raises NotSentError, with a text that has no part of a value."""
    name = reference.arn
    try:
        look_up = _secret if reference.service == "secretsmanager" else _parameter
        text = look_up(reference, api, deadline).strip()
    except RefusedError as error:
        remedy = ""
        if "accessdenied" in error.code.lower() or error.code == "403":
            remedy = (
                f"; allow the function's role {statement((READ_ACTIONS[reference.service],), name)}"
                ", and kms:Decrypt if it is encrypted with a key of your own"
            )
        raise NotSentError(
            _ERROR, f"{name} could not be read: {shown(str(error), [])}{remedy}"
        ) from error
    except ValueError as error:
        raise NotSentError(_ERROR, f"{name} {error}") from None
    except NotSentError as error:
        raise NotSentError(error.error_type, f"{name} could not be read: {error}") from error
    if not text or any(letter < " " or letter == "\x7f" for letter in text):
        raise NotSentError(_ERROR, f"{name} is empty, or has a control character in it")
    return text


def _secret(reference: Reference, api: Api, deadline: Deadline) -> str:
    members: dict[str, str | bool] = {"SecretId": reference.arn}
    if reference.version_stage:
        members["VersionStage"] = reference.version_stage
    if reference.version_id:
        members["VersionId"] = reference.version_id
    answer = api.call(
        "secretsmanager", reference.region, "secretsmanager.GetSecretValue", members, deadline
    )
    text = as_text(answer.get("SecretString"))
    if not text:
        raise ValueError("holds no text")
    if not reference.json_key:
        return text
    value = as_object(parse(text)).get(reference.json_key)
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"is no JSON object with a text called {shown(reference.json_key, [])}")


def _parameter(reference: Reference, api: Api, deadline: Deadline) -> str:
    members: dict[str, str | bool] = {"Name": reference.arn, "WithDecryption": True}
    answer = api.call("ssm", reference.region, "AmazonSSM.GetParameter", members, deadline)
    return as_text(as_object(answer.get("Parameter")).get("Value"))
