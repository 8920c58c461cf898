"""An emulator that the user brings: ministack behind TLS with an authority of its own, and IAM enforced."""

import ssl
import sys
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from bridge.authority import Authority
from testbed.engines import embedded
from testbed.engines.external_front import Front
from testbed.host import ports, processes
from testbed.host.processes import ChildProcess
from testbed.paths import REPOSITORY

REGION = "eu-central-1"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a server's certificate; its authority's is beside it, in authority/ca.crt."""
    folder = tmp_path_factory.mktemp("tls")
    pair = Authority.load_or_create(folder / "authority", name="emulator CA").server("localhost", "127.0.0.1")
    pair.write(folder / "server.crt", folder / "server.key")
    return folder / "server.crt"


@pytest.fixture(scope="module")
def front(certificate: Path) -> Iterator[str]:
    """Run ministack, whose root is test/test, and the front, which alone knows that and its authority; give a URL."""
    folder = certificate.parent
    port, own = ports.choose(None, what="an emulator"), ports.choose(None, what="its front")
    emulator = processes.start(
        "emulator",
        embedded.ministack_command(),
        log=folder / "emulator.log",
        folder=folder,
        environment=processes.clean_environment(
            GATEWAY_PORT=str(port),
            BIND_HOST="127.0.0.1",
            MINISTACK_REGION=REGION,
            AUTH="true",
            USE_SSL="1",
            MINISTACK_SSL_CERT=str(certificate),
            MINISTACK_SSL_KEY=str(certificate.with_suffix(".key")),
            IOT_MTLS_ENABLED="0",
            DATA_PLANE_URL="http://127.0.0.1:9",
            TMPDIR=str(folder),
        ),
    )
    started: list[ChildProcess] = [emulator]
    try:
        started.append(
            processes.start(
                "front",
                [
                    *(sys.executable, "-m", "testbed.engines.external_front"),
                    *("--port", str(own), "--not-built", str(folder / "not-built")),
                ],
                log=folder / "front.log",
                folder=REPOSITORY,
                environment=processes.clean_environment(
                    AWS_ENDPOINT_URL=f"https://localhost:{port}",
                    AWS_CA_BUNDLE=str(folder / "authority" / "ca.crt"),
                    AWS_ACCESS_KEY_ID="test",
                    AWS_SECRET_ACCESS_KEY="test",
                ),
            )
        )
        url = f"http://127.0.0.1:{own}"
        embedded.wait_for_aws(url, REGION, emulator)
        yield url
    finally:
        for process in reversed(started):
            process.stop()


def client(service: str, url: str) -> Any:
    make: Any = boto3.client
    return make(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def test_calls_reach_it_by_tls_with_its_own_credentials(front: str) -> None:
    sqs, s3 = client("sqs", front), client("s3", front)
    queue = sqs.create_queue(QueueName="q")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="hello")
    assert sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "hello"
    s3.create_bucket(Bucket="a-bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="a-bucket", Key="a key/ü", Body=b"x" * 100_000)
    assert len(s3.get_object(Bucket="a-bucket", Key="a key/ü")["Body"].read()) == 100_000
    assert client("sts", front).get_caller_identity()["Arn"].endswith(":root")


class _NotBuilt(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Answer as an emulator that has not built it."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(501)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def _serve(handler: Any) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_what_it_has_not_built_is_named_once(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate.parent / "authority" / "ca.crt"))
    behind = _serve(_NotBuilt)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    behind.socket = context.wrap_socket(behind.socket, server_side=True)
    url = f"https://localhost:{behind.server_address[1]}"
    before = _serve(partial(Front, url, tmp_path / "not-built"))
    try:
        for _ in range(2):
            with pytest.raises(ClientError):
                client("kinesis", f"http://127.0.0.1:{before.server_address[1]}").list_streams()
    finally:
        for server in (before, behind):
            server.shutdown()
            server.server_close()
    assert (tmp_path / "not-built").read_text() == "kinesis ListStreams\n"
