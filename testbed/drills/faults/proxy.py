"""Put the fault proxy between a deployment's functions and bridge and its AWS emulator, and tell it what to break."""

import json
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from testbed.deploy.deployment import Deployment
from testbed.host import ports, processes
from testbed.host.environments import environment
from testbed.host.processes import Process
from testbed.paths import REPOSITORY

REQUIREMENTS = Path(__file__).parent / "requirements.txt"
_SERVER = Path(__file__).with_name("proxy_server.py")
_VARIABLE = "AWS_ENDPOINT_URL"
_START_SECONDS = 30
# A slow call is held for no longer than this.
_CONTROL_SECONDS = 60


@dataclass(frozen=True)
class Order:
    """A fault for the next ``times`` calls of ``operations`` within ``expires`` seconds; see `proxy_server.Order`."""

    name: str
    action: str
    operations: tuple[str, ...]
    times: int
    expires: float = 30.0
    code: str = ""
    status: int = 0
    seconds: float = 0.0
    after: bool = False


class FaultProxy:
    """A running proxy."""

    def __init__(self, process: Process, url: str) -> None:
        """See `start_fault_proxy`."""
        self.process = process
        self.url = url

    def order(self, *orders: Order) -> None:
        """Break these calls from now on."""
        self._call("POST", "orders", [asdict(order) for order in orders])

    def gate(self, *, open: bool) -> None:  # noqa: A002  # what a gate is
        """Hold every call back (and wait until none is on its way), or let them go on."""
        self._call("POST", "gate", {"open": open})

    def counts(self) -> dict[str, Any]:
        """Return ``hits``, broken calls by order, and ``calls``: count, statements, bytes by ``service:Operation``."""
        counts: dict[str, Any] = self._call("GET", "counts")
        return counts

    def forget(self) -> None:
        """Count from nothing."""
        self._call("DELETE", "counts")

    def _call(self, method: str, path: str, document: Any = None) -> Any:
        request = urllib.request.Request(  # noqa: S310  # our own proxy
            f"{self.url}/_faults/{path}",
            method=method,
            data=None if document is None else json.dumps(document).encode(),
        )
        with urllib.request.urlopen(request, timeout=_CONTROL_SECONDS) as answer:  # noqa: S310
            return json.load(answer)


def proxy_of(deployment: Deployment, log: str) -> FaultProxy:
    """Start a proxy in front of a local deployment's AWS APIs where its functions and its bridge reach it.

    Raises:
        TestbedError: it cannot be started, or they could not reach it.
    """
    return start_fault_proxy(
        deployment.aws_url or "",
        host=deployment.local_engine.this_machine(deployment.place),
        log=deployment.place.log(log),
        folder=deployment.path,
    )


def start_fault_proxy(upstream: str, *, log: Path, folder: Path, host: str = "127.0.0.1") -> FaultProxy:
    """Start a proxy in front of ``upstream`` on a free port of an address, and wait until it answers.

    Raises:
        TestbedError: its packages cannot be had, or it died.
    """
    python = environment("faults", REQUIREMENTS) / "bin" / "python"
    port = ports.choose(None, what="the fault proxy")
    process = processes.start(
        "fault-proxy",
        [str(python), str(_SERVER), "--host", host, "--port", str(port), "--upstream", upstream],
        log=log,
        environment=processes.clean_environment(PYTHONPATH=str(REPOSITORY)),
        folder=folder,
    )
    proxy = FaultProxy(process, f"http://{host}:{port}")
    processes.wait_until(
        lambda: "hits" in proxy.counts(), what="The fault proxy", seconds=_START_SECONDS, process=process
    )
    return proxy


@contextmanager
def functions_through(deployment: Deployment, url: str, functions: Sequence[str]) -> Iterator[None]:
    """Have these functions call AWS at ``url`` until the block ends."""
    client = deployment.client("lambda")
    try:
        for function in functions:
            _set_endpoint(client, function, url)
        yield
    finally:
        for function in functions:
            _set_endpoint(client, function, None)


def _set_endpoint(client: Any, function: str, url: str | None) -> None:
    configuration = client.get_function_configuration(FunctionName=function)
    variables = {
        name: value for name, value in configuration["Environment"]["Variables"].items() if name != _VARIABLE
    }
    if url:
        variables[_VARIABLE] = url
    client.update_function_configuration(FunctionName=function, Environment={"Variables": variables})
    client.get_waiter("function_updated_v2").wait(
        FunctionName=function, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )


def telemetry_function(deployment: Deployment) -> str:
    """Return the name of the function that the telemetry queue feeds."""
    mappings = deployment.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    queue = deployment.outputs.telemetry_queue_url.rsplit("/", 1)[-1]
    for mapping in mappings:
        if mapping["EventSourceArn"].endswith(f":{queue}"):
            return str(mapping["FunctionArn"].rsplit(":", 1)[-1])
    raise LookupError(f"no event source mapping of {queue}")
