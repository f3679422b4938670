"""The proxy process once it has asked to be registered: the second half of the start, and the run until SHUTDOWN."""

import _socket
import time

from lrap_otel import log
from lrap_otel.extension import restart
from lrap_otel.extension.client import Client, RefusedError
from lrap_otel.extension.flush import FlushSchedule
from lrap_otel.extension.lifecycle import Lifecycle
from lrap_otel.extension.subscription import Subscription
from lrap_otel.extension.supervisor import Telemetry
from lrap_otel.http1.stream import BrokenError, Stream
from lrap_otel.ipc import records
from lrap_otel.proxy.listener import accept_connections
from lrap_otel.proxy.shared_state import SharedState
from lrap_otel.proxy.tracer import Tracer
from lrap_otel.proxy.upstream import Upstream
from lrap_otel.sandbox.invocations import Invocations

_ONE_CPU_MB = 1_769
# Of AWS_LAMBDA_INITIALIZATION_TYPE: the sandbox is made before there is an event for it.
_AHEAD_OF_EVENTS = ("provisioned-concurrency", "snap-start")
_READY_AFTER_RUNTIME_S, _READY_LIMIT_S, _LOOK_AGAIN_S = 0.1, 1.0, 0.002

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from lrap_otel.handshake import Handshake, Hello
    from lrap_otel.ipc.channel import Channel
    from lrap_otel.proxy.polls import Polls
    from lrap_otel.settings import Settings

    class Registration(Protocol):
        """The register request that `boot` has sent on the connection `api` to `address`."""

        address: tuple[str, int]
        api: _socket.socket

        def look(self) -> None:
            """Wait for the reply, which stays unread."""


def run(
    settings: "Settings",
    registered: "Registration",
    handshake: "Handshake | None",
    channel: "Channel | None",
    process_id: int,
) -> int:
    """Serve until SHUTDOWN; the exit status.

    `handshake` is None where the port is taken, `channel` where there is no telemetry process.
    """
    log.set_level(settings.log_level)
    invocations = Invocations()
    upstream = Upstream(settings.runtime_api or registered.address, registered.address)
    tracer = Tracer(settings, invocations) if channel is not None else None
    sandbox = SharedState(upstream, invocations, channel, tracer, is_managed_instances=settings.is_managed_instances)
    telemetry = _telemetry(settings, channel, sandbox) if channel is not None else None
    if telemetry is not None:
        telemetry.watch(process_id)
    if handshake is not None:
        handshake.serve(lambda listener, early, hellos: _accept(listener, early, hellos, sandbox))
    _warn_of(settings, handshake, channel)
    registered.look()
    client = Client(Stream(registered.api), registered.address)
    try:
        registration = client.read_registration()
    except (RefusedError, BrokenError, OSError) as error:
        log.error(str(error))
        return 1
    log.info(
        f"registered for {registration.get('functionName')}; the runtime's calls come through port {settings.listener_port}"
    )
    sandbox.recorder.observe(sandbox.recorder.offer_and_keep, _started(registration))
    subscription = _subscribe(settings, client, registered.address, channel) if channel is not None else None
    if channel is not None and log.is_printed("info"):
        sandbox.recorder.observe(_say_what_is_in_force, settings)
    if telemetry is not None and sandbox.recorder.observe(_has_less_cpu_later, settings):
        _wait_until_ready(telemetry, sandbox.polls)
    if subscription is not None:
        sandbox.recorder.observe(subscription.settle, lambda: bool(sandbox.polls.waiting))
    schedule = FlushSchedule(settings.flush)
    Lifecycle(client, invocations, sandbox.polls, telemetry, sandbox.recorder, settings.flush_budget_ms, schedule).run()
    return 0


def _accept(
    listener: _socket.socket, early: "list[_socket.socket]", hellos: "list[Hello]", sandbox: SharedState
) -> None:
    for hello in hellos:
        sandbox.recorder.observe(sandbox.meet_runtime, hello)
    accept_connections(listener, sandbox, early)


def _telemetry(settings: "Settings", channel: "Channel", sandbox: SharedState) -> Telemetry:
    return Telemetry(
        channel,
        sandbox.invocations,
        lambda: restart.start(channel, tuple(sandbox.recorder.kept.copy().values())),
        lambda: bool(sandbox.polls.waiting),
        # Of Managed Instances there is always an event with the function, and a CPU or more for all.
        stands_aside=not settings.is_managed_instances,
    )


def _subscribe(
    settings: "Settings", client: Client, address: tuple[str, int], channel: "Channel"
) -> Subscription | None:
    """None if the Telemetry API is not asked."""
    if channel.platform is None:
        return None
    try:
        return Subscription(address, client.identifier, channel.platform.getsockname()[1], settings.telemetry_types)
    except OSError as error:
        log.warning(f"the Telemetry API cannot be asked ({error}); what only the platform knows is missing")
        return None


def _has_less_cpu_later(settings: "Settings") -> bool:
    """Whether this function gets less of a CPU once init is over, or nobody waits for init.

    Source: AWS Lambda, "Configure Lambda function memory": 1,769 MB are one CPU.
    """
    if settings.is_managed_instances or not settings.flush_budget_ms:
        return False
    memory_mb = settings.environment.text("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    is_small = memory_mb.isdecimal() and int(memory_mb) < _ONE_CPU_MB
    return is_small or settings.environment.text("AWS_LAMBDA_INITIALIZATION_TYPE") in _AHEAD_OF_EVENTS


def _wait_until_ready(telemetry: Telemetry, polls: "Polls") -> None:
    """Let the telemetry process finish its imports within init, which lasts until we ask for the first event.

    While the runtime starts, this costs nothing; once the runtime has asked for an event, it may take a tenth of a second.
    """
    began_s = asked_s = time.monotonic()
    while telemetry.is_alive and not telemetry.is_ready:
        now_s = time.monotonic()
        if not polls.waiting:
            asked_s = now_s
        if now_s - asked_s > _READY_AFTER_RUNTIME_S or now_s - began_s > _READY_LIMIT_S:
            return
        time.sleep(_LOOK_AGAIN_S)


def _warn_of(settings: "Settings", handshake: "Handshake | None", channel: "Channel | None") -> None:
    for warning in settings.warnings:
        log.warning(warning)
    if handshake is None:
        log.warning(
            f"port {settings.listener_port} is taken, so nothing is traced; set LRAP_LISTENER_PORT to a free port. The function is not affected"
        )
    elif channel is None and settings.export_enabled:
        log.warning("the telemetry process could not be started, so nothing is traced. The function is not affected")


def _say_what_is_in_force(settings: "Settings") -> None:
    """Where telemetry goes, and what the variables say about whether it will arrive."""
    from lrap_otel.telemetry.settings import in_force  # noqa: PLC0415 - at this level alone
    from lrap_otel.telemetry.variable_checks import check_variables  # noqa: PLC0415 - see above

    log.info(in_force(settings))
    for finding in check_variables(settings.environment.variables):
        log.info(str(finding))


def _started(registration: dict[str, object]) -> records.Message:
    def text(name: str) -> str:
        value = registration.get(name)
        return value if isinstance(value, str) else ""

    return records.started(
        time.time_ns(), text("functionName"), text("functionVersion"), text("handler"), text("accountId") or None
    )
