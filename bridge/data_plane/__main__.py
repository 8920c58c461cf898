"""``python -m bridge.data_plane``: run the data plane until SIGTERM."""

import asyncio
import signal
import ssl
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
import uvloop
from aiohttp import web

from bridge.authorizers import FUNCTION_SECONDS
from bridge.clients import clients, invoker
from bridge.control_plane import control_plane
from bridge.data_plane import devices
from bridge.data_plane.authorizers import Authorizers
from bridge.data_plane.connections import Connections
from bridge.data_plane.devices import Devices
from bridge.data_plane.http import Admit, Operation, Operations, application
from bridge.data_plane.jobs import Jobs
from bridge.data_plane.jobs_control import ControlJobs
from bridge.data_plane.jobs_device import DeviceJobs
from bridge.data_plane.just_in_time import JustInTime
from bridge.data_plane.provisioning import HOOK_SECONDS, Provisioning
from bridge.data_plane.publishing import publish
from bridge.data_plane.register_thing import ControlRegistration
from bridge.data_plane.registrar import Registrar
from bridge.data_plane.requests import Answers, Requests
from bridge.data_plane.retained import Retained
from bridge.data_plane.role_aliases import RoleAliases
from bridge.data_plane.session import CLIENT_ID, DataPlaneSession, Outgoing
from bridge.data_plane.shadows import Shadows
from bridge.data_plane.store import Store
from bridge.data_plane.visitors import Visitors
from bridge.programs import configure_logs, most_connections
from bridge.registry import Registry
from bridge.tls import server_context

_READY_SECONDS = 0.5

# A part of the program that goes on until it is canceled.
Work = Callable[[DataPlaneSession], Coroutine[None, None, None]]


def main(
    broker_host: Annotated[str, typer.Option(help="The MQTT broker.")],
    broker_port: Annotated[int, typer.Option(help="Its port (TLS).")],
    ca: Annotated[Path, typer.Option(help="Authority of the broker's certificate.")],
    certificate: Annotated[Path, typer.Option(help="The data plane's certificate.")],
    key: Annotated[Path, typer.Option(help="Its key.")],
    reader_certificate: Annotated[
        Path, typer.Option(help="Certificate of its second connection, which reads retained messages.")
    ],
    reader_key: Annotated[Path, typer.Option(help="Its key.")],
    port: Annotated[int, typer.Option(help="Port of the HTTP service.")],
    state_dir: Annotated[Path, typer.Option(help="Folder of shadows and jobs.")],
    iot_endpoint_url: Annotated[
        str, typer.Option(help="AWS IoT's control plane: things and groups are known there.")
    ],
    region: Annotated[str, typer.Option(help="Its region.")],
    host: Annotated[str, typer.Option(help="Address of the HTTP service.")] = "127.0.0.1",
    https_port: Annotated[
        int, typer.Option(help="Port of HTTPS for devices with their certificates (AWS: 8443); 0 for none.")
    ] = 0,
    server_certificate: Annotated[
        Path | None, typer.Option(help="Certificate of that port; clients' are taken from any issuer.")
    ] = None,
    server_key: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    aws_endpoint_url: Annotated[
        str,
        typer.Option(
            help="Where functions (hooks, authorizers) are called and roles assumed; as the control plane if left out."
        ),
    ] = "",
    account_id: Annotated[str, typer.Option(help="The account in ARNs.")] = "000000000000",
    names_publishers: Annotated[
        bool, typer.Option(help="The broker is bridge.broker, which names publishers.")
    ] = False,
) -> None:
    """Serve AWS IoT's data plane (iot-data, iot-jobs-data) beside an MQTT broker."""
    configure_logs()
    most_connections()
    store = Store(state_dir / "data-plane.sqlite")
    shadows = Shadows(store)
    answers = Answers(store)
    jobs = Jobs(store, f"arn:aws:iot:{region}:{account_id}:")
    executions = DeviceJobs(store, jobs)
    registry = control_plane(iot_endpoint_url, region)
    control = ControlJobs(store, jobs, registry, answers.more)
    aws = aws_endpoint_url or iot_endpoint_url
    registrar, hooks = Registrar(registry), invoker(aws, region, seconds=HOOK_SECONDS)
    provisioning = Provisioning(store, registry, registrar, hooks, answers.more)
    just_in_time = JustInTime(registry, registrar, account_id)
    aliases = RoleAliases(registry, clients(aws, region))
    registration = ControlRegistration(registry, registrar)
    authorizers = Authorizers(registry, invoker(aws, region, seconds=FUNCTION_SECONDS))
    requests = Requests(
        store, [shadows.handle, executions.handle, provisioning.handle, just_in_time.handle], answers
    )
    # Not of a broker that cannot answer one client alone, and tells of no unknown certificates.
    provisioned = (*provisioning.topic_filters, *just_in_time.topic_filters) if names_publishers else ()
    session = DataPlaneSession(
        broker_host,
        broker_port,
        ca=ca,
        certificate=certificate,
        key=key,
        names_publishers=names_publishers,
        topic_filters=(*shadows.topic_filters, *executions.topic_filters, *provisioned),
        receive=requests.receive,
        connected=requests.connected,
    )
    retained = Retained(broker_host, broker_port, ca=ca, certificate=reader_certificate, key=reader_key)
    operations: dict[tuple[str, str], Operation] = {
        ("iot-data", "Publish"): partial(publish, session),
        ("iot-data", "GetRetainedMessage"): retained.get_retained_message,
        ("iot-data", "ListRetainedMessages"): retained.list_retained_messages,
        ("iot-data", "GetThingShadow"): shadows.get_thing_shadow,
        ("iot-data", "UpdateThingShadow"): shadows.update_thing_shadow,
        ("iot-data", "DeleteThingShadow"): shadows.delete_thing_shadow,
        ("iot-data", "ListNamedShadowsForThing"): shadows.list_named_shadows,
        ("iot-jobs-data", "GetPendingJobExecutions"): executions.get_pending_job_executions,
        ("iot-jobs-data", "StartNextPendingJobExecution"): executions.start_next_pending_job_execution,
        ("iot-jobs-data", "DescribeJobExecution"): executions.describe_job_execution,
        ("iot-jobs-data", "UpdateJobExecution"): executions.update_job_execution,
        **{
            ("iot", name): operation
            for part in (control, registration, authorizers)
            for name, operation in part.operations().items()
        },
    }

    if names_publishers:
        # Mosquitto tells nobody of its clients; there they are refused by name.
        operations |= {
            ("iot-data", name): operation for name, operation in Connections(session).operations().items()
        }

    async def tell(topic: str, payload: bytes) -> None:
        await session.publish(Outgoing(topic, payload))

    service = Operations(operations, answers.more)
    visitors = Visitors(authorizers)

    async def admit_visitor(request: web.Request) -> Admit | None:
        return visitors.admit if await visitors.expects(request) else None

    ports = [Port(port, application(service, admit_visitor, tell, lambda: session.ready))]
    if https_port:
        if server_certificate is None or server_key is None:
            sys.exit("error: --https-port needs --server-certificate and --server-key")
        known = Devices(Registry(iot_endpoint_url, region))
        context = server_context(server_certificate, server_key, ca)
        ports.append(Port(https_port, devices.application(service, known, aliases), context))
    try:
        work: list[Work] = [
            requests.run,
            answers.run,
            control.run,
            provisioning.run,
            just_in_time.run,
            *([] if names_publishers else [_say_ready]),
        ]
        uvloop.run(_serve(session, ports, work, host))
    except OSError as error:
        sys.exit(f"error: the data plane cannot listen on {host}: {error}")
    store.close()
    if session.outranked.is_set():
        sys.exit(
            f"error: another data plane has the session {CLIENT_ID} of {broker_host}:{broker_port}: stop it first"
        )


class Port(NamedTuple):
    """A port to listen on, with what answers there, by TLS if there is a context."""

    number: int
    service: web.Application
    context: ssl.SSLContext | None = None


async def _serve(session: DataPlaneSession, ports: Sequence[Port], work: Sequence[Work], host: str) -> None:
    """Serve until SIGTERM, or another has the session; ends at once, with an error, if a part of the work does."""
    runners = [web.AppRunner(port.service, access_log=None) for port in ports]
    for runner, port in zip(runners, ports, strict=True):
        await runner.setup()
        await web.TCPSite(runner, host, port.number, ssl_context=port.context, backlog=1024).start()
    session.start()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    working = [asyncio.create_task(part(session)) for part in work]
    ended, _ = await asyncio.wait(
        [*working, *(asyncio.create_task(event.wait()) for event in (stopped, session.outranked))],
        return_when=asyncio.FIRST_COMPLETED,
    )
    for runner in runners:
        await runner.cleanup()
    session.stop()
    for part in working:
        if part in ended:
            part.result()
        part.cancel()


async def _say_ready(session: DataPlaneSession) -> None:
    """Tell Mosquitto's supervisor, who may be away, again and again that requests find us."""
    while True:
        if session.ready:
            session.say_ready()
        await asyncio.sleep(_READY_SECONDS)


if __name__ == "__main__":
    typer.run(main)
