"""What clients need of HTTP, ministack has under the server that bridge/ministack/server.py gives it.

Each holds for ministack's own server, too: ``EMULATOR_BIN=.testbed/venvs/embedded/bin/ministack`` runs them on it.
"""

import base64
import http.client
import io
import json
import random
import socket
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from testbed.host import emulated
from tests.integration.conftest import REGION, AwsEmulator

_AUTHORIZATION = (
    f"AWS4-HMAC-SHA256 Credential=test/20261125/{REGION}/s3/aws4_request, SignedHeaders=host, Signature=00"
)
_SEED = 20261125
_ECHO = """
def handler(event, context):
    return {"statusCode": 200, "body": event["requestContext"]["connectionId"] + " " + (event.get("body") or "")}
"""


@pytest.fixture(scope="module")
def bucket(aws_emulator: AwsEmulator) -> str:
    """Make a bucket."""
    name = f"server-{uuid.uuid4().hex[:8]}"
    aws_emulator.client("s3").create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    return name


@pytest.fixture
def wire(aws_emulator: AwsEmulator) -> Iterator[socket.socket]:
    """Connect to it, with nothing between."""
    address = urlsplit(aws_emulator.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=60) as connection:
        yield connection


def _put(bucket: str, key: str, *headers: str) -> bytes:
    lines = (f"PUT /{bucket}/{key} HTTP/1.1", "Host: localhost", f"Authorization: {_AUTHORIZATION}", *headers)
    return "\r\n".join((*lines, "", "")).encode()


def _answer(wire: socket.socket) -> http.client.HTTPResponse:
    answer = http.client.HTTPResponse(wire)
    answer.begin()
    return answer


def test_an_upload_that_asks_first_is_told_to_go_on(wire: socket.socket, bucket: str) -> None:
    """botocore and the Go SDK do so for S3 (RFC 9110, 10.1.1): without the answer they wait a second a call."""
    wire.sendall(_put(bucket, "asked", "Expect: 100-continue", "Content-Length: 5"))
    assert wire.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.sendall(b"hello")
    assert _answer(wire).status == 200


def test_keys_come_back_as_they_were_put(aws_emulator: AwsEmulator, bucket: str) -> None:
    s3 = aws_emulator.client("s3")
    keys = ["a b+c", "x%2Fy", "//twice//", "é?&=#;", "~!$'()*,:@|{}^`\"<>[]\\", "dt=2026-11-25/hour=17/a.gz"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=f"odd/{key}", Body=key.encode())
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="odd/")["Contents"]
    assert {one["Key"] for one in listed} == {f"odd/{key}" for key in keys}
    for key in keys:
        assert s3.get_object(Bucket=bucket, Key=f"odd/{key}")["Body"].read() == key.encode()


def test_large_bodies_are_whole_in_both_directions(aws_emulator: AwsEmulator, bucket: str) -> None:
    s3 = aws_emulator.client("s3")
    print(f"seed {_SEED}")
    body = random.Random(_SEED).randbytes(5 * 2**20 + 3)
    s3.put_object(Bucket=bucket, Key="large", Body=body)
    assert s3.head_object(Bucket=bucket, Key="large")["ContentLength"] == len(body)
    assert s3.get_object(Bucket=bucket, Key="large")["Body"].read() == body


def test_a_streamed_body_is_taken_with_the_checksum_behind_it(
    aws_emulator: AwsEmulator, wire: socket.socket, bucket: str
) -> None:
    """The newest SDKs send it so ("Transferring payloads in multiple chunks", Amazon S3 API reference)."""
    text = b"streamed" * 1000
    checksum = base64.b64encode(zlib.crc32(text).to_bytes(4, "big")).decode()
    framed = b"%x\r\n%s\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n" % (len(text), text, checksum.encode())
    headers = (
        "Content-Encoding: aws-chunked",
        "Transfer-Encoding: chunked",
        "X-Amz-Content-Sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        f"X-Amz-Decoded-Content-Length: {len(text)}",
        "X-Amz-Trailer: x-amz-checksum-crc32",
        "X-Amz-Meta-Spaced: value  ",
    )
    wire.sendall(_put(bucket, "streamed", *headers))
    for part in (framed[:100], framed[100:]):
        wire.sendall(b"%x\r\n%s\r\n" % (len(part), part))
    wire.sendall(b"0\r\n\r\n")
    assert _answer(wire).status == 200
    found = aws_emulator.client("s3").get_object(Bucket=bucket, Key="streamed", ChecksumMode="ENABLED")
    assert (found["Body"].read(), found["ChecksumCRC32"]) == (text, checksum)
    assert found["Metadata"] == {"spaced": "value"}


def test_a_connection_serves_one_call_after_the_other(wire: socket.socket, bucket: str) -> None:
    """Also those that were sent before the first was answered."""
    call = _put(bucket, "again", "Content-Length: 5") + b"hello"
    head = call.replace(b"PUT", b"HEAD", 1).replace(b"Content-Length: 5\r\n", b"")[:-5]
    wire.sendall(call + head + head)
    reader = wire.makefile("rb")
    for length in ("0", "5", "5"):
        assert reader.readline() == b"HTTP/1.1 200 OK\r\n"
        assert http.client.parse_headers(reader)["Content-Length"] == length


def test_http_2_without_tls_is_spoken(wire: socket.socket) -> None:
    """Kinesis clients of the SDK for JavaScript speak it; a server begins with SETTINGS (RFC 9113, 3.4)."""
    wire.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
    frame = wire.recv(9, socket.MSG_WAITALL)
    assert frame[3:] == b"\x04" + bytes(5)


def test_an_upload_that_would_rather_speak_http_2_is_taken(wire: socket.socket, bucket: str) -> None:
    """Java's own client asks for it in every first request."""
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    wire.sendall(_put(bucket, "offered", *offer, "Content-Length: 5") + b"hello")
    assert _answer(wire).status == 200


def test_a_websocket_api_answers_on_its_socket(aws_emulator: AwsEmulator) -> None:
    """See "Overview of WebSocket APIs in API Gateway", Amazon API Gateway developer guide."""
    lambda_, gateway = (aws_emulator.client(name) for name in ("lambda", "apigatewayv2"))
    name = f"echo-{uuid.uuid4().hex[:8]}"
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("echo.py", _ECHO)
    arn = lambda_.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="echo.handler",
        Role="arn:aws:iam::000000000000:role/echo",
        Code={"ZipFile": package.getvalue()},
    )["FunctionArn"]
    selection = "$request.body.action"
    api = gateway.create_api(Name=name, ProtocolType="WEBSOCKET", RouteSelectionExpression=selection)["ApiId"]
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{arn}/invocations"
    integration = gateway.create_integration(ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=uri)
    gateway.create_route(
        ApiId=api, RouteKey="$default", Target=f"integrations/{integration['IntegrationId']}"
    )
    gateway.create_stage(ApiId=api, StageName="v1", AutoDeploy=True)
    address = aws_emulator.url.replace("http:", "ws:")
    with connect(f"{address}/_aws/execute-api/{api}/v1") as page:
        said = json.dumps({"action": "hello", "text": "x" * 100_000})
        page.send(said)
        connection, answer = str(page.recv(timeout=60)).split(" ", 1)
        assert answer == said
        posts = emulated.session(REGION).client(
            "apigatewaymanagementapi", endpoint_url=f"{aws_emulator.url}/_aws/execute-api/{api}/v1"
        )
        posts.post_to_connection(ConnectionId=connection, Data=b"from the backend")
        assert page.recv(timeout=60) == "from the backend"
    with pytest.raises(InvalidStatus), connect(f"{address}/_aws/execute-api/nothere/v1"):
        pass
