"""AWS IoT Device SDK v2 for Python, as its samples use it: connections of both protocols, and its service clients."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from importlib import metadata
from queue import SimpleQueue
from typing import Any

from awscrt import mqtt, mqtt5, mqtt_request_response
from awsiot import (
    ServiceStreamOptions,
    iotidentity,
    iotjobs,
    iotshadow,
    mqtt5_client_builder,
    mqtt_connection_builder,
)

from testbed.drills.clients.visit import PATIENCE_SECONDS, USER_PROPERTY, Visit


def version() -> str:
    """Return the installed version."""
    return metadata.version("awsiotsdk")


def echo(visit: Visit) -> None:
    """Publish to itself."""
    if visit.is_five:
        _echo_five(visit)
    else:
        _echo_three(visit)


def _echo_three(visit: Visit) -> None:
    received: SimpleQueue[bytes] = SimpleQueue()
    with _connection(visit) as connection:
        visit.doing = "subscribe"
        subscribed, _ = connection.subscribe(
            visit.topic, mqtt.QoS.AT_LEAST_ONCE, lambda payload, **_: received.put(payload)
        )
        visit.expect("granted QoS", subscribed.result(PATIENCE_SECONDS)["qos"], mqtt.QoS.AT_LEAST_ONCE)
        visit.doing = "publish"
        acknowledged, _ = connection.publish(visit.topic, "hello", mqtt.QoS.AT_LEAST_ONCE)
        acknowledged.result(PATIENCE_SECONDS)
        visit.doing = "receive"
        visit.expect("payload", received.get(timeout=PATIENCE_SECONDS), b"hello")


def _echo_five(visit: Visit) -> None:
    received: SimpleQueue[Any] = SimpleQueue()
    with _client_five(visit, received.put) as client:
        visit.doing = "subscribe"
        subscription = mqtt5.Subscription(visit.topic, mqtt5.QoS.AT_LEAST_ONCE)
        suback = client.subscribe(mqtt5.SubscribePacket([subscription])).result(PATIENCE_SECONDS)
        visit.expect("reason", suback.reason_codes, [mqtt5.SubackReasonCode.GRANTED_QOS_1])
        visit.doing = "publish"
        packet = mqtt5.PublishPacket(
            topic=visit.topic,
            payload=b"hello",
            qos=mqtt5.QoS.AT_LEAST_ONCE,
            user_properties=[mqtt5.UserProperty(*USER_PROPERTY)],
        )
        puback = client.publish(packet).result(PATIENCE_SECONDS).puback
        visit.expect("reason", puback.reason_code, mqtt5.PubackReasonCode.SUCCESS)
        visit.doing = "receive"
        packet = received.get(timeout=PATIENCE_SECONDS).publish_packet
        visit.expect("payload", packet.payload, b"hello")
        properties = [(one.name, one.value) for one in packet.user_properties or ()]
        visit.expect("user properties", properties, [USER_PROPERTY])


def shadow(visit: Visit) -> None:
    """Hear the difference that the cloud asks for, report it, and delete the shadow."""
    cloud = visit.deployment.client("iot-data")
    with _service_client(visit, iotshadow.IotShadowClientV2) as client:
        visit.doing = "subscribe to deltas"
        request = iotshadow.ShadowDeltaUpdatedSubscriptionRequest(thing_name=visit.name)
        with _stream(client.create_shadow_delta_updated_stream, request) as deltas:
            visit.doing = "desired state by boto3"
            wanted = json.dumps({"state": {"desired": {"color": "red"}}})
            cloud.update_thing_shadow(thingName=visit.name, payload=wanted)
            visit.doing = "receive the delta"
            visit.expect("delta", deltas.get(timeout=PATIENCE_SECONDS).state, {"color": "red"})
        visit.doing = "update"
        state = iotshadow.ShadowState(reported={"color": "red"})
        update = iotshadow.UpdateShadowRequest(thing_name=visit.name, state=state)
        visit.expect("version", _answer(client.update_shadow(update)).version, 2)
        visit.doing = "get"
        found = _answer(client.get_shadow(iotshadow.GetShadowRequest(thing_name=visit.name)))
        visit.expect("state", (found.state.reported, found.state.delta), ({"color": "red"}, None))
        visit.doing = "delete"
        _answer(client.delete_shadow(iotshadow.DeleteShadowRequest(thing_name=visit.name)))


def jobs(visit: Visit) -> None:
    """Be told of a job that the cloud makes, start it and succeed."""
    cloud = visit.deployment.client("iot")
    target = cloud.describe_thing(thingName=visit.name)["thingArn"]
    with _service_client(visit, iotjobs.IotJobsClientV2) as client:
        visit.doing = "subscribe to notify-next"
        request = iotjobs.NextJobExecutionChangedSubscriptionRequest(thing_name=visit.name)
        with _stream(client.create_next_job_execution_changed_stream, request) as told:
            visit.doing = "CreateJob by boto3"
            cloud.create_job(jobId=visit.name, targets=[target], document='{"reboot": true}')
            try:
                visit.doing = "be notified"
                execution = told.get(timeout=PATIENCE_SECONDS).execution
                visit.expect(
                    "job", (execution.job_id, execution.job_document), (visit.name, {"reboot": True})
                )
                visit.doing = "start"
                start = iotjobs.StartNextPendingJobExecutionRequest(thing_name=visit.name)
                started = _answer(client.start_next_pending_job_execution(start)).execution
                visit.expect("status", (started.job_id, started.status), (visit.name, "IN_PROGRESS"))
                visit.doing = "update"
                update = iotjobs.UpdateJobExecutionRequest(
                    thing_name=visit.name, job_id=visit.name, status="SUCCEEDED"
                )
                _answer(client.update_job_execution(update))
                visit.expect("status", cloud.describe_job(jobId=visit.name)["job"]["status"], "COMPLETED")
            finally:
                cloud.delete_job(jobId=visit.name, force=True)


def provisioning(visit: Visit) -> None:
    """Get keys and a thing by a claim certificate, and connect with them."""
    cloud = visit.deployment.client("iot")
    cloud.create_provisioning_template(
        templateName=visit.name,
        templateBody=json.dumps(_template(visit)),
        enabled=True,
        provisioningRoleArn="arn:aws:iam::000000000000:role/provisioning",
    )
    unowned = ""
    try:
        with _service_client(visit, iotidentity.IotIdentityClientV2) as client:
            visit.doing = "CreateKeysAndCertificate"
            made = _answer(client.create_keys_and_certificate(iotidentity.CreateKeysAndCertificateRequest()))
            unowned = made.certificate_id
            visit.certificate(visit.partner).write_text(made.certificate_pem)
            visit.key(visit.partner).touch(mode=0o600)
            visit.key(visit.partner).write_text(made.private_key)
            visit.doing = "RegisterThing"
            request = iotidentity.RegisterThingRequest(
                template_name=visit.name,
                certificate_ownership_token=made.certificate_ownership_token,
                parameters={"SerialNumber": visit.partner},
            )
            visit.expect("thing", _answer(client.register_thing(request)).thing_name, visit.partner)
            # From here on it has the drill's policy, and is removed with all that have it.
            unowned = ""
        visit.doing = "connect as what was provisioned"
        with _connection(visit, visit.partner):
            pass
    finally:
        cloud.delete_provisioning_template(templateName=visit.name)
        if unowned:
            cloud.delete_certificate(certificateId=unowned, forceDelete=True)


def _template(visit: Visit) -> dict[str, Any]:
    """Make a template whose thing has its serial number's name and the drill's policy."""
    parameters = ("SerialNumber", "AWS::IoT::Certificate::Id")
    return {
        "Parameters": {name: {"Type": "String"} for name in parameters},
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {"ThingName": {"Ref": "SerialNumber"}},
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": visit.policy}},
        },
    }


def _answer(future: "Future[Any]") -> Any:
    return future.result(PATIENCE_SECONDS)


@contextmanager
def _connection(visit: Visit, name: str = "") -> Iterator[Any]:
    """Connect by MQTT 3.1.1 as a thing, and disconnect at the end."""
    if not name:
        visit.doing = "connect"
    connection = mqtt_connection_builder.mtls_from_path(
        endpoint=visit.host,
        port=visit.port,
        cert_filepath=str(visit.certificate(name)),
        pri_key_filepath=str(visit.key(name)),
        ca_filepath=visit.ca,
        client_id=name or visit.name,
        clean_session=True,
    )
    connection.connect().result(PATIENCE_SECONDS)
    try:
        yield connection
        visit.doing = "disconnect"
    finally:
        connection.disconnect().result(PATIENCE_SECONDS)


@contextmanager
def _client_five(visit: Visit, heard: Callable[[Any], None] = lambda _: None) -> Iterator[Any]:
    """Connect by MQTT 5, and stop the client at the end."""
    visit.doing = "connect"
    connected, stopped = threading.Event(), threading.Event()
    refused: list[Any] = []

    def fail(failure: Any) -> None:
        refused.append(failure.exception)
        connected.set()

    client = mqtt5_client_builder.mtls_from_path(
        endpoint=visit.host,
        port=visit.port,
        cert_filepath=str(visit.certificate()),
        pri_key_filepath=str(visit.key()),
        ca_filepath=visit.ca,
        client_id=visit.name,
        on_publish_received=heard,
        on_lifecycle_connection_success=lambda _: connected.set(),
        on_lifecycle_connection_failure=fail,
        on_lifecycle_stopped=lambda _: stopped.set(),
    )
    client.start()
    try:
        if not connected.wait(PATIENCE_SECONDS) or refused:
            raise AssertionError(f"not connected: {refused}")
        yield client
        visit.doing = "disconnect"
    finally:
        client.stop()
        stopped.wait(PATIENCE_SECONDS)


@contextmanager
def _service_client(visit: Visit, kind: Callable[..., Any]) -> Iterator[Any]:
    """Make a service client over a connection of the visit's protocol."""
    options = mqtt_request_response.ClientOptions(
        max_request_response_subscriptions=4,
        max_streaming_subscriptions=2,
        operation_timeout_in_seconds=int(PATIENCE_SECONDS),
    )
    with (_client_five if visit.is_five else _connection)(visit) as connection:
        yield kind(connection, options)


@contextmanager
def _stream(create: Callable[..., Any], request: Any) -> Iterator["SimpleQueue[Any]"]:
    """Open a stream of events, and wait until it is subscribed to."""
    events: SimpleQueue[Any] = SimpleQueue()
    subscribed = threading.Event()
    stream = create(
        request,
        ServiceStreamOptions(
            incoming_event_listener=events.put, subscription_status_listener=lambda _: subscribed.set()
        ),
    )
    stream.open()
    if not subscribed.wait(PATIENCE_SECONDS):
        raise AssertionError("no subscription")
    yield events
