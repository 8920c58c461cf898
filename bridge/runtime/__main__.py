"""``python -m bridge.runtime``: run the bridge until SIGTERM."""

import json
import os
import signal
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any

import boto3
import structlog
import typer
from botocore.config import Config
from prometheus_client import generate_latest

from bridge.loopback import never_by_proxy
from bridge.pages import Answer, serve
from bridge.programs import configure_logs
from bridge.publishers import Publishers
from bridge.registry import Registry
from bridge.runtime import metrics
from bridge.runtime.dispatcher import Dispatcher
from bridge.runtime.outside import ServiceCalls
from bridge.runtime.rules import RuleSet, load
from bridge.runtime.session import MqttSession
from bridge.sql import Context, MqttProperties
from bridge.topics import without_overlaps

log = structlog.get_logger()

_POLL_SECONDS = 1.0
_ACTION_SECONDS = 20.0
# "Lambda function calls from rules should be completed within 2000 milliseconds" (iot-sql-functions.md).
_FUNCTION_SECONDS = 2.0


class _Services:
    """What actions call: AWS clients, made once, and the broker."""

    def __init__(self, endpoint_url: str, region: str, *, iot_url: str, iot_data_url: str) -> None:
        self._endpoint_url = endpoint_url
        self._endpoints = {"iot": iot_url, "iot-data": iot_data_url}
        self._session = boto3.Session(region_name=region)
        if self._session.get_credentials() is None:
            self._session = boto3.Session("test", "test", region_name=region)
        self._clients: dict[tuple[str, float], Any] = {}
        self._lock = threading.Lock()
        self.broker: MqttSession | None = None

    def client(self, service: str) -> Any:
        """Return a boto3 client. It does not retry: the dispatcher does, and counts it."""
        return self._made(service, _ACTION_SECONDS)

    def quick_client(self, service: str) -> Any:
        """Return a client for a function of a rule's SQL, which AWS gives two seconds."""
        return self._made(service, _FUNCTION_SECONDS)

    def _made(self, service: str, seconds: float) -> Any:
        known = self._clients.get((service, seconds))
        if known is None:
            make: Any = self._session.client
            options = Config(
                retries={"mode": "standard", "total_max_attempts": 1},
                connect_timeout=2,
                read_timeout=seconds,
                max_pool_connections=32,
                tcp_keepalive=True,
            )
            url = self._endpoints.get(service, self._endpoint_url)
            with self._lock:  # boto3 makes one at a time
                known = make(service, endpoint_url=url, config=options)
            self._clients[service, seconds] = known
        return known

    def publish(self, topic: str, payload: bytes, qos: int, properties: MqttProperties | None = None) -> None:
        """Publish back to the broker."""
        if self.broker is None:
            raise OSError("there is no broker yet")
        self.broker.publish(topic, payload, qos, properties)


def main(
    broker_host: Annotated[str, typer.Option(help="The MQTT broker.")],
    broker_port: Annotated[int, typer.Option(help="Its port (TLS).")],
    ca: Annotated[Path, typer.Option(help="Authority of the broker's certificate.")],
    certificate: Annotated[Path, typer.Option(help="The bridge's certificate.")],
    key: Annotated[Path, typer.Option(help="Its key.")],
    iot_endpoint_url: Annotated[
        str, typer.Option(help="AWS IoT's control plane: rules are read from there.")
    ],
    aws_endpoint_url: Annotated[str, typer.Option(help="The AWS APIs that actions call.")],
    region: Annotated[str, typer.Option(help="Their region.")],
    iot_data_endpoint_url: Annotated[
        str | None,
        typer.Option(
            help="AWS IoT's data plane, for get_thing_shadow(); by default AWS_ENDPOINT_URL_IOT_DATA_PLANE, or else"
            " --iot-endpoint-url."
        ),
    ] = None,
    client_id: Annotated[str, typer.Option(help="Name of the MQTT session.")] = "bridge",
    metrics_port: Annotated[int, typer.Option(help="Port of /metrics and /health.")] = 9464,
    metrics_host: Annotated[str, typer.Option(help="Address of /metrics and /health.")] = "127.0.0.1",
    account_id: Annotated[str, typer.Option(help="What accountid() gives.")] = "000000000000",
    names_publishers: Annotated[
        bool, typer.Option(help="The broker is bridge.broker, which names publishers.")
    ] = False,
    infer_publishers: Annotated[
        bool,
        typer.Option(help="The broker is Mosquitto, which does not: clientid() comes from the policies."),
    ] = False,
) -> None:
    """Carry MQTT messages to AWS services by AWS IoT topic rules."""
    configure_logs()
    never_by_proxy()
    data_url = iot_data_endpoint_url or os.environ.get("AWS_ENDPOINT_URL_IOT_DATA_PLANE") or iot_endpoint_url
    services = _Services(aws_endpoint_url, region, iot_url=iot_endpoint_url, iot_data_url=data_url)
    context = Context(account_id, ServiceCalls(services))
    dispatcher, state = Dispatcher(), _State()
    session = MqttSession(
        broker_host,
        broker_port,
        ca=ca,
        certificate=certificate,
        key=key,
        client_id=client_id,
        names_publishers=names_publishers,
        receive=dispatcher.receive,
        publisher=state.publisher,
    )
    services.broker = session
    registry = Registry(iot_endpoint_url, region)
    try:
        server = _serve_pages(metrics_host, metrics_port, session, state)
    except OSError as error:
        sys.exit(f"error: port {metrics_port} for metrics is taken: {error}")

    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    connected = False
    while True:
        try:
            rules = load(registry.rules(), services, context, state.rules)
            dispatcher.use(rules)
            if infer_publishers:
                registry.forget_policies()
                state.publishers = Publishers.of([registry.document(name) for name in registry.policies()])
            filters = _filters(rules)
            # Mosquitto sends a copy for each subscription that matches; our own broker sends one.
            session.subscribe(without_overlaps(filters) if infer_publishers else filters)
            state.rules, state.loaded = rules, True
        except Exception as error:  # the control plane is away: the rules that we have go on
            log.warning("registry_unreachable", error=str(error))
        if state.loaded and not connected:
            # Not before the rules are there: a message that no rule wants is acknowledged at once.
            session.start()
            connected = True
        session.say_ready()
        if stopped.wait(_POLL_SECONDS) or session.outranked.is_set():
            break
    log.info("stopping")
    session.stop()
    dispatcher.stop()
    server.shutdown()
    if session.outranked.is_set():
        sys.exit(
            f"error: another bridge has the session {client_id} of {broker_host}:{broker_port}:"
            " stop it, or give this one a --client-id and a certificate of its own"
        )


class _State:
    rules = RuleSet()
    publishers = Publishers()
    loaded = False

    def publisher(self, topic: str) -> str | None:
        return self.publishers.publisher(topic)


def _filters(rules: RuleSet) -> set[str]:
    # Basic Ingest of rules alone: a wildcard would bring messages that are nobody's.
    topics = {rule.compiled.topic_filter for rule in rules.rules if rule.compiled.topic_filter}
    return topics | {f"$aws/rules/{rule.name}/#" for rule in rules.rules}


def _serve_pages(host: str, port: int, session: MqttSession, state: _State) -> ThreadingHTTPServer:
    def health(_body: bytes) -> Answer:
        connected = session.connected.is_set()
        document = {
            "connected": connected,
            "rules": [rule.name for rule in state.rules.rules],
            "refused": dict(state.rules.refused),
        }
        return Answer(200 if connected and state.loaded else 503, json.dumps(document).encode())

    def scrape(_body: bytes) -> Answer:
        return Answer(200, generate_latest(metrics.registry), "text/plain; version=0.0.4")

    return serve(host, port, {("GET", "/health"): health, ("GET", "/metrics"): scrape})


if __name__ == "__main__":
    typer.run(main)
