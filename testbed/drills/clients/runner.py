"""Run every client against a deployment, each as a thing of its own, and take all of it away again."""

import importlib
import secrets
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from testbed.deploy.deployment import Deployment
from testbed.deploy.stations import enrolment_of
from testbed.drills.clients.visit import Client, Protocol, SkippedError, Visit
from testbed.errors import TestbedError

# Most of a client's time is waiting.
_SIDE_BY_SIDE = 4

_MQTT: tuple[Protocol, ...] = ("MQTT 3.1.1", "MQTT 5")
_SDK = "AWS IoT Device SDK v2 (Python)"
_ECHO = "connect, subscribe, publish (QoS 1), receive, disconnect"
_ECHO_OF: dict[Protocol, str] = {"MQTT 3.1.1": _ECHO, "MQTT 5": f"{_ECHO}; user property"}
_LOCKED = "it is in this project's lock, run scripts/bootstrap"

CLIENTS = (
    *(Client(_SDK, protocol, _ECHO_OF[protocol], "device_sdk", "echo", _LOCKED) for protocol in _MQTT),
    *(
        Client(f"{_SDK}: {service}", protocol, did, "device_sdk", function, _LOCKED)
        for service, function, did in (
            ("shadow v2", "shadow", "delta stream, update, get, delete"),
            ("jobs v2", "jobs", "notify-next stream, start-next, update"),
        )
        for protocol in _MQTT
    ),
    *(
        Client(
            f"{_SDK}: identity v2",
            protocol,
            "CreateKeysAndCertificate, RegisterThing, connect as the new thing",
            "device_sdk",
            "provisioning",
            _LOCKED,
            needs="fleet provisioning",
            local="a template needs a role of the account",
        )
        for protocol in _MQTT
    ),
    *(
        Client(name, protocol, _ECHO_OF[protocol], module, "echo", get)
        for name, module, get in (
            ("paho", "paho_mqtt", _LOCKED),
            ("aiomqtt", "aio_mqtt", _LOCKED),
            ("MQTT.js", "mqtt_js", "install Node and npm"),
            ("mosquitto_sub, mosquitto_pub", "mosquitto", "apt-get install mosquitto-clients"),
        )
        for protocol in _MQTT
    ),
    Client("boto3 iot-data", "HTTPS", "Publish reaches a subscriber", "boto", "publish", ""),
    Client("boto3 iot-data", "HTTPS", "update a shadow, delta by MQTT, get, delete", "boto", "shadow", ""),
    Client("boto3 iot-data", "HTTPS", "retain, get, a late subscriber has it", "boto", "retained", ""),
)


@dataclass(frozen=True)
class Result:
    """What came of one client; ``why`` says what failed, or why it was skipped."""

    client: Client
    version: str
    state: Literal["ok", "failed", "skipped"]
    why: str = ""


def run(deployment: Deployment, only: Sequence[str] = ()) -> list[Result]:
    """Run the clients whose name has one of ``only`` in it; all without one. Their tracebacks go to clients.log.

    Raises:
        TestbedError: no client has such a name.
    """
    wanted = {
        f"clients-{secrets.token_hex(3)}-{number:02}": client
        for number, client in enumerate(CLIENTS)
        if not only or any(part.lower() in client.name.lower() for part in only)
    }
    if not wanted:
        names = sorted({client.name for client in CLIENTS})
        raise TestbedError(f"There is no client {', '.join(only)}.", f"Known: {', '.join(names)}")
    iot = deployment.client("iot")
    arn = iot.get_policy(policyName=deployment.outputs.iot_policy_name)["policyArn"].rsplit(":", 1)[0]
    policy = f"clients-{secrets.token_hex(4)}"
    iot.create_policy(policyName=policy, policyDocument=msgspec.json.encode(_policy(arn)).decode())
    folder = deployment.certificates.parent / policy
    enrolment = enrolment_of(deployment, policy=policy, folder=folder)
    visits = [
        (client, Visit(deployment, name, client.protocol, policy, folder)) for name, client in wanted.items()
    ]
    try:
        partners = [visit.partner for client, visit in visits if client.module == "mosquitto"]
        enrolment.enrol([*wanted, *partners])
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            return list(pool.map(lambda each: _try(*each), visits))
    finally:
        enrolment.remove()
        enrolment.remove_strangers()
        iot.delete_policy(policyName=policy)
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()


def _try(client: Client, visit: Visit) -> Result:
    """Run one client; whatever it raises is its result."""
    version = ""
    try:
        module = _module(client, visit.deployment)
        version = module.version()
        getattr(module, client.function)(visit)
    except SkippedError as skipped:
        return Result(client, version, "skipped", str(skipped))
    except Exception as error:  # another's client: whatever goes wrong is one row's
        log = visit.deployment.path / "logs" / "clients.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(f"{client.name}, {client.protocol}: {visit.doing}\n{traceback.format_exc()}\n")
        return Result(client, version, "failed", f"{visit.doing}: {error or type(error).__name__}")
    return Result(client, version, "ok")


def _module(client: Client, deployment: Deployment) -> Any:
    """Import what runs a client.

    Raises:
        SkippedError: it is not for this deployment, or not installed.
    """
    if client.local and deployment.target == "aws":
        raise SkippedError(client.local)
    try:
        if client.needs and deployment.engine:
            deployment.engine.lacks.refuse(client.needs)
        return importlib.import_module(f"testbed.drills.clients.{client.module}")
    except TestbedError as error:
        raise SkippedError(f"{error.problem} {error.remedy}") from error
    except ModuleNotFoundError as error:
        raise SkippedError(f"{error.name} is not installed: {client.get}") from error


def _policy(arn: str) -> dict[str, Any]:
    """Let a thing connect as itself, talk to the other clients, to its shadow and jobs, and be provisioned.

    ``arn`` is ``arn:aws:iot:<region>:<account>``.
    """
    thing = "${iot:Connection.Thing.ThingName}"
    topics = [
        "clients/*",
        f"$aws/things/{thing}/*",
        "$aws/certificates/*",
        "$aws/provisioning-templates/*",
    ]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{arn}:client/{thing}"},
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive"],
                "Resource": [f"{arn}:topic/{topic}" for topic in topics],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [f"{arn}:topicfilter/{topic}" for topic in topics],
            },
        ],
    }
