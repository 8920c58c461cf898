"""The brokers that load is made on: Mosquitto, plain and with mutual TLS."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bridge.authority import Authority
from testbed.engines.mosquitto import ensure_mosquitto
from testbed.host import ports
from testbed.host.processes import wait_until

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Broker:
    """A running Mosquitto: the ports where it listens, its process and its folder."""

    plain: int
    tls: int
    pid: int
    folder: Path

    @property
    def cpu(self) -> float:
        """CPU time so far, user and system, in seconds."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    @property
    def rss_bytes(self) -> int:
        """Resident memory now, in bytes."""
        return int(psutil.Process(self.pid).memory_info().rss)


@contextmanager
def mosquitto(folder: Path, names: list[str]) -> Iterator[Broker]:
    """Run a Mosquitto, with a certificate for each of ``names``, until the block ends.

    Raises:
        TestbedError: it is not installed, and cannot be installed from here.
    """
    program = ensure_mosquitto()
    authority = Authority.load_or_create(folder, name="fleet benchmark")
    authority.server(HOST).write(folder / "server.crt", folder / "server.key")
    for name in names:
        if not (folder / f"{name}.key").is_file():
            authority.client(name).write(folder / f"{name}.crt", folder / f"{name}.key")
    plain, tls = (ports.choose(None, what="the benchmark") for _ in range(2))
    configuration = folder / "mosquitto.conf"
    configuration.write_text(
        f"user root\nlog_type error\nset_tcp_nodelay true\nmax_queued_messages 0\n"
        f"sys_interval 1\nallow_anonymous true\n"
        f"listener {plain} {HOST}\n"
        f"listener {tls} {HOST}\nrequire_certificate true\ncafile {folder / 'ca.crt'}\n"
        f"certfile {folder / 'server.crt'}\nkeyfile {folder / 'server.key'}\n"
    )
    with (folder / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen([program, "-c", str(configuration)], stdout=log, stderr=log)
    try:
        wait_until(lambda: not ports.is_free(tls), what="Mosquitto", seconds=20)
        yield Broker(plain, tls, process.pid, folder)
    finally:
        process.terminate()
        process.wait()
