"""The proxy process once it has asked to be registered: the second half of the start, and the run
until SHUTDOWN.
"""

import _socket
import time

from lrap_otel import log
from lrap_otel.extension import restart
from lrap_otel.extension.client import Client, RefusedError
from lrap_otel.extension.flush import FlushSchedule
from lrap_otel.extension.lifecycle import Lifecycle
from lrap_otel.extension.subscription import Subscription
from lrap_otel.extension.telemetry_process import TelemetryProcess
from lrap_otel.http1.errors import SERVER, DisconnectedError, RemoteProtocolError
from lrap_otel.http1.stream import Stream
from lrap_otel.ipc import records
from lrap_otel.propagation.carrier.learned import EventTemplates
from lrap_otel.proxy.learned_heads import HeadTemplates
from lrap_otel.proxy.listener import accept_connections
from lrap_otel.proxy.shared_state import SharedState
from lrap_otel.proxy.tracer import Tracer
from lrap_otel.proxy.upstream import Upstream
from lrap_otel.sandbox.invocations import Invocations
from lrap_otel.text.learning import PatternCompiler

_ONE_CPU_MB = 1_769
# Of AWS_LAMBDA_INITIALIZATION_TYPE: the sandbox is made before there is an event for it.
_AHEAD_OF_EVENTS = ("provisioned-concurrency", "snap-start")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.handshake import Handshake, Hello
    from lrap_otel.ipc.channel import Channel
    from lrap_otel.registration import Registration
    from lrap_otel.settings import Settings


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
    compiler = PatternCompiler()
    tracer = (
        Tracer(settings, invocations, EventTemplates(compiler)) if channel is not None else None
    )
    is_managed_instances = settings.is_managed_instances
    shared = SharedState(
        upstream,
        invocations,
        channel,
        tracer,
        HeadTemplates(compiler),
        is_managed_instances=is_managed_instances,
    )
    telemetry = (
        _watch_telemetry(settings, channel, shared, process_id) if channel is not None else None
    )
    if handshake is not None:
        handshake.serve(lambda listener, early, hellos: _accept(listener, early, hellos, shared))
    _warn_of(settings, handshake, channel)
    registered.look()
    client = Client(Stream(registered.api, SERVER), registered.address)
    try:
        registration = client.read_registration()
    except (RefusedError, DisconnectedError, RemoteProtocolError, OSError) as error:
        log.error(str(error))
        return 1
    log.info(
        f"registered for {registration.get('functionName')}; the runtime's calls come through port "
        f"{settings.listener_port}"
    )
    shared.recorder.observe(shared.recorder.offer_and_keep, _started(registration))
    if channel is not None and telemetry is not None:
        _use_init(settings, client, registered.address, channel, telemetry, shared)
    schedule = FlushSchedule(settings.flush)
    Lifecycle(
        client,
        invocations,
        shared.polls,
        telemetry,
        shared.recorder,
        settings.flush_budget_ms,
        schedule,
    ).run()
    return 0


def _accept(
    listener: _socket.socket,
    early: "list[_socket.socket]",
    hellos: "list[Hello]",
    shared: SharedState,
) -> None:
    for hello in hellos:
        shared.recorder.observe(shared.meet_runtime, hello)
    accept_connections(listener, shared, early)


def _watch_telemetry(
    settings: "Settings", channel: "Channel", shared: SharedState, process_id: int
) -> TelemetryProcess:
    telemetry = TelemetryProcess(
        channel,
        shared.invocations,
        lambda: restart.start(channel, tuple(shared.recorder.kept.copy().values())),
        lambda: bool(shared.polls.waiting),
        has_invoke_events=not settings.is_managed_instances,
    )
    telemetry.watch(process_id)
    return telemetry


def _use_init(
    settings: "Settings",
    client: Client,
    address: tuple[str, int],
    channel: "Channel",
    telemetry: TelemetryProcess,
    shared: SharedState,
) -> None:
    """Do what belongs into init, which lasts until we ask for the first event."""
    observe = shared.recorder.observe
    subscription = observe(_subscribe, settings, client, address, channel)
    if log.is_printed("info"):
        observe(_say_what_is_in_force, settings)
    if observe(_needs_telemetry_from_the_first_event, settings):
        observe(telemetry.wait_until_ready)
    if subscription is not None:
        observe(_settle, subscription, shared)


def _settle(subscription: Subscription, shared: SharedState) -> None:
    if subscription.settle(lambda: bool(shared.polls.waiting)):
        shared.recorder.offer_and_keep(records.subscribed())


def _subscribe(
    settings: "Settings", client: Client, address: tuple[str, int], channel: "Channel"
) -> Subscription | None:
    """None if the Telemetry API is not asked."""
    if channel.platform is None:
        return None
    try:
        return Subscription(
            address, client.identifier, channel.platform.getsockname()[1], settings.telemetry_types
        )
    except OSError as error:
        log.warning(
            f"the Telemetry API cannot be asked ({error}); what only the platform knows is missing"
        )
        return None


def _needs_telemetry_from_the_first_event(settings: "Settings") -> bool:
    """Whether this function gets less of a CPU once init is over, nobody waits for init, or its log
    is sent: until it is ready the telemetry process stands still while an event is with the
    function, and takes no lines.

    Source: AWS Lambda, "Configure Lambda function memory": 1,769 MB are one CPU.
    """
    if settings.is_managed_instances or not settings.flush_budget_ms:
        return False
    if "function" in settings.telemetry_types:
        return True
    memory_mb = settings.environment.text("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    is_small = memory_mb.isdecimal() and int(memory_mb) < _ONE_CPU_MB
    return (
        is_small or settings.environment.text("AWS_LAMBDA_INITIALIZATION_TYPE") in _AHEAD_OF_EVENTS
    )


def _warn_of(
    settings: "Settings", handshake: "Handshake | None", channel: "Channel | None"
) -> None:
    for warning in settings.warnings:
        log.warning(warning)
    if handshake is None:
        log.warning(
            f"port {settings.listener_port} is taken, so nothing is traced; set LRAP_LISTENER_PORT "
            f"to a free port. The function is not affected"
        )
    elif channel is None and settings.export_enabled:
        log.warning(
            "the telemetry process could not be started, so nothing is traced. The function is not "
            "affected"
        )


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
        time.time_ns(),
        text("functionName"),
        text("functionVersion"),
        text("handler"),
        text("accountId") or None,
    )
