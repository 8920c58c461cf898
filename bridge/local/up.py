"""``python -m bridge up``: a local AWS IoT Core until Ctrl-C."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from bridge.authority import Authority, KeyPair

_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_MINISTACK = Path(__file__).resolve().parent.parent / "ministack"
_BRIDGE, _DATA_PLANE, _READER = "bridge", "data-plane", "data-plane-reader"


class UpError(Exception):
    """It cannot start, or something of it has ended; the message says what to do."""


@dataclass(frozen=True)
class Place:
    """Where it keeps its things, and its ports on the loopback."""

    folder: Path
    region: str
    aws: int
    mqtt: int
    websocket: int
    data: int
    https: int
    metrics: int
    # Of another emulator for AWS's APIs, empty for ministack.
    other_aws: str

    @property
    def aws_url(self) -> str:
        """Where AWS's APIs answer."""
        return self.other_aws or f"http://127.0.0.1:{self.aws}"


def main(
    data_dir: Annotated[
        Path, typer.Option(help="Folder for certificates, state and logs; kept between runs.")
    ] = Path(".aws-iot"),
    region: Annotated[str, typer.Option(help="AWS region.")] = "us-east-1",
    aws_port: Annotated[int, typer.Option(help="Port of AWS's APIs (AWS_ENDPOINT_URL).")] = 4566,
    mqtt_port: Annotated[int, typer.Option(help="Port of MQTT over TLS.")] = 8883,
    websocket_port: Annotated[
        int, typer.Option(help="Port of MQTT over WebSocket, and with custom authorizers; AWS's is 443.")
    ] = 8444,
    data_port: Annotated[
        int, typer.Option(help="Port of iot-data (AWS_ENDPOINT_URL_IOT_DATA_PLANE).")
    ] = 9443,
    https_port: Annotated[
        int, typer.Option(help="Port of HTTPS for devices with their certificates, as on AWS.")
    ] = 8443,
    metrics_port: Annotated[int, typer.Option(help="Port of the rules engine's metrics.")] = 9464,
    aws_endpoint_url: Annotated[
        str,
        typer.Option(
            help="Another emulator that has AWS's APIs, IoT's control plane included, for ministack's."
        ),
    ] = "",
) -> None:
    """Run a local AWS IoT Core: broker, rules, Device Shadow, Jobs, and ministack for the other AWS APIs."""
    place = Place(
        data_dir.resolve(),
        region,
        aws=aws_port,
        mqtt=mqtt_port,
        websocket=websocket_port,
        data=data_port,
        https=https_port,
        metrics=metrics_port,
        other_aws=aws_endpoint_url.rstrip("/"),
    )
    running: list[_Program] = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _start(place, running)
        typer.echo(_welcome(place))
        _watch(running)
    except UpError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        typer.echo("Stopping")
    finally:
        for program in reversed(running):
            program.stop()


def _start(place: Place, running: list["_Program"]) -> None:
    """Start each part when the one before it answers."""
    place.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _check_ports(place)
    if not place.other_aws:
        running.append(_start_ministack(place))
    certificates = _Certificates(place.folder / "certificates")
    control_plane = ["--iot-endpoint-url", place.aws_url, "--region", place.region]
    running.append(_Program.start(place, "broker", _broker(place, certificates, control_plane)))
    running[-1].wait_until(lambda: _listens(place.mqtt) and _listens(place.websocket))
    rules = [
        *("-m", "bridge.runtime", *certificates.client(_BRIDGE, place), *control_plane, "--names-publishers"),
        *("--aws-endpoint-url", place.aws_url, "--metrics-port", str(place.metrics)),
    ]
    running.append(_Program.start(place, "rules", rules))
    reader, reader_key = certificates.own[_READER]
    data_plane = [
        *("-m", "bridge.data_plane", *certificates.client(_DATA_PLANE, place), *control_plane),
        *("--names-publishers", "--port", str(place.data), "--state-dir", str(place.folder / "data-plane")),
        *("--reader-certificate", str(reader), "--reader-key", str(reader_key)),
        *("--https-port", str(place.https), *certificates.server("server-")),
    ]
    running.append(_Program.start(place, "data-plane", data_plane))
    running[-2].wait_until(lambda: _answers(f"http://127.0.0.1:{place.metrics}/health"))
    running[-1].wait_until(lambda: _answers(f"http://127.0.0.1:{place.data}/health"))


def _broker(place: Place, certificates: "_Certificates", control_plane: list[str]) -> list[str]:
    trusted = [word for own, _ in certificates.own.values() for word in ("--trusted-certificate", str(own))]
    required = [word for name in (_BRIDGE, _DATA_PLANE) for word in ("--required-client", name)]
    return [
        *("-m", "bridge.broker", *control_plane, *certificates.server(), *trusted, *required),
        *("--port", str(place.mqtt), "--websocket-port", str(place.websocket)),
        *("--authority", str(certificates.authority), "--state-dir", str(place.folder / "broker")),
    ]


class _Certificates:
    """The authority, the server's certificate and those of our own clients, made once."""

    def __init__(self, folder: Path) -> None:
        authority = Authority.load_or_create(folder, name="Local IoT authority")
        self.authority = authority.path
        self._server = _kept(folder, "server", lambda: authority.server("localhost", "127.0.0.1"))
        self.own = {
            name: _kept(folder, name, partial(authority.client, name))
            for name in (_BRIDGE, _DATA_PLANE, _READER)
        }

    def server(self, prefix: str = "") -> list[str]:
        """Return the options of a program that listens by TLS, ``--<prefix>certificate`` and ``--<prefix>key``."""
        certificate, key = self._server
        return [f"--{prefix}certificate", str(certificate), f"--{prefix}key", str(key)]

    def client(self, name: str, place: Place) -> list[str]:
        """Return the options of one of our clients of the broker."""
        certificate, key = self.own[name]
        return [
            *("--broker-host", "localhost", "--broker-port", str(place.mqtt), "--ca", str(self.authority)),
            *("--certificate", str(certificate), "--key", str(key)),
        ]


def _kept(folder: Path, name: str, issue: Callable[[], KeyPair]) -> tuple[Path, Path]:
    """Return the files of a certificate and its key, issued once."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    if not (certificate.is_file() and key.is_file()):
        issue().write(certificate, key)
    return certificate, key


def _watch(running: list["_Program"]) -> NoReturn:
    """Wait until a part ends by itself.

    Raises:
        UpError: one has.
    """
    while all(program.alive() for program in running):
        time.sleep(0.5)
    ended = next(program for program in running if not program.alive())
    raise UpError(f"{ended.name} has ended: {ended.last_line()} (see {ended.log})")


def _check_ports(place: Place) -> None:
    """Refuse a port that another program has, before anything is started that would wait for it."""
    wanted = {
        "--mqtt-port": place.mqtt,
        "--websocket-port": place.websocket,
        "--data-port": place.data,
        "--https-port": place.https,
        "--metrics-port": place.metrics,
    }
    if not place.other_aws:
        wanted["--aws-port"] = place.aws
    for option, port in wanted.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise UpError(
                    f"port {port} is taken by another program: choose another with {option}"
                ) from error


def _start_ministack(place: Place) -> "_Program":
    if importlib.util.find_spec("ministack") is None:
        raise UpError(
            "ministack is not installed: pip install 'aws-iot-bridge[ministack]', "
            "or name another emulator with --aws-endpoint-url"
        )
    state = place.folder / "ministack"
    temporary = state / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    program = _Program.start(
        place,
        "ministack",
        ["-P", str(_MINISTACK)],
        GATEWAY_PORT=str(place.aws),
        BIND_HOST="127.0.0.1",
        MINISTACK_REGION=place.region,
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        DATA_PLANE_URL=f"http://127.0.0.1:{place.data}",
        PERSIST_STATE="1",
        STATE_DIR=str(state / "state"),
        S3_PERSIST="1",
        S3_DATA_DIR=str(state / "s3"),
        TMPDIR=str(temporary),
    )
    program.wait_until(lambda: _answers(f"{place.aws_url}/_ministack/health"))
    return program


def _welcome(place: Place) -> str:
    return f"""AWS IoT Core is up, here ({place.region}).
  AWS APIs         export AWS_ENDPOINT_URL={place.aws_url} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test \
AWS_DEFAULT_REGION={place.region}
  MQTT over TLS    localhost:{place.mqtt}, authority {place.folder}/certificates/ca.crt
  MQTT, WebSocket  wss://localhost:{place.websocket}/mqtt, signed by the credentials above, or a custom authorizer
  HTTPS            https://localhost:{place.https}, with a device's certificate
  iot-data, jobs   {place.aws_url}, and by itself http://127.0.0.1:{place.data} (AWS_ENDPOINT_URL_IOT_DATA_PLANE)
  a device         aws iot create-keys-and-certificate --set-as-active, attach-policy, and connect
  logs             {place.folder}/logs
Stop it by Ctrl-C; what it knows is kept in {place.folder}."""


class _Program:
    """A child process with its log."""

    def __init__(self, name: str, child: "subprocess.Popen[bytes]", log: Path) -> None:
        self.name, self.log, self._child = name, log, child

    @classmethod
    def start(cls, place: Place, name: str, arguments: list[str], **environment: str) -> "_Program":
        log = place.folder / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        # Without the user's own account and endpoints: what runs here would inherit them.
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        with log.open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=kept | environment,
                # Ctrl-C is ours to pass on, in order.
                start_new_session=True,
            )
        return cls(name, child, log)

    def alive(self) -> bool:
        return self._child.poll() is None

    def wait_until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            if not self.alive():
                raise UpError(f"{self.name} did not start: {self.last_line()} (see {self.log})")
            if time.monotonic() > deadline:
                raise UpError(f"{self.name} did not answer within {_START_SECONDS:.0f} s (see {self.log})")
            time.sleep(0.05)

    def last_line(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else "it said nothing"

    def stop(self) -> None:
        self._child.terminate()
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  # ours, http
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
