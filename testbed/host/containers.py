"""Docker's side of the Compose engine: does a daemon answer, and what a container does."""

import os
import socket
import sys
from functools import lru_cache
from typing import Any

from testbed.errors import TestbedError


def daemon_answers() -> bool:
    """Return whether a Docker daemon is there, and ours to use."""
    try:
        return bool(_client().ping())
    except TestbedError:  # nobody listens: without the SDK
        return False
    except (_sdk().errors.DockerException, OSError):
        return False


def daemon_version() -> str:
    """Return the Docker daemon's version, as it says; a word for that it does not answer."""
    return str(_client().version()["Version"]) if daemon_answers() else "absent"


def socket_path() -> str:
    """Return the daemon's socket as a container can mount it: ``DOCKER_SOCKET``, or the one that we talk to.

    On macOS and Windows the daemon is in a virtual machine, which has its socket at the usual place.
    """
    named = os.environ.get("DOCKER_SOCKET")
    if named:
        return named
    host = os.environ.get("DOCKER_HOST", "")
    if sys.platform == "linux" and host.startswith("unix://"):
        return host.removeprefix("unix://")
    return "/var/run/docker.sock"


def forget_daemon() -> None:
    """Ask anew where the daemon is (``DOCKER_HOST``)."""
    _client.cache_clear()


def has_image(name: str) -> bool:
    """Return whether the image is here."""
    try:
        _client().images.get(name)
    except _sdk().errors.ImageNotFound:
        return False
    return True


def running(name: str) -> bool:
    """Return whether the container runs."""
    container = _find(name)
    return container is not None and container.status == "running"


def stop(name: str, *, kill: bool, seconds: float) -> None:
    """End a container; with ``kill``, by SIGKILL at once, or else after ``seconds``. Do nothing if it is gone."""
    container = _find(name)
    if container is None:
        return
    try:
        if kill:
            container.kill()
        else:
            container.stop(timeout=round(seconds))
    except _sdk().errors.APIError as error:
        if error.status_code != 409:  # it has ended by itself
            raise


def pause(name: str, *, again: bool = False) -> None:
    """Stand a container still, or with ``again`` have it go on; do nothing if it is gone or stands so."""
    container = _find(name)
    if container is None or container.status != ("paused" if again else "running"):
        return
    try:
        if again:
            container.unpause()
        else:
            container.pause()
    except _sdk().errors.APIError as error:
        if error.status_code != 409:  # it has ended
            raise


def gateway(network: str) -> str:
    """Return the address at which containers of a network reach this machine, where the daemon is on it."""
    return str(_client().networks.get(network).attrs["IPAM"]["Config"][0]["Gateway"])


def remove(prefix: str) -> None:
    """Kill and remove every container whose name begins so."""
    for container in _client().containers.list(
        all=True, filters={"name": f"^/{prefix}"}, ignore_removed=True
    ):
        try:
            container.remove(force=True)
        except _sdk().errors.APIError as error:
            if error.status_code not in (404, 409):  # it is gone, or going
                raise


def log_lines(name: str, lines: int) -> list[str]:
    """Return the last lines that a container wrote; none if it is gone."""
    container = _find(name)
    if container is None:
        return []
    written: bytes = container.logs(tail=lines)
    return written.decode(errors="replace").splitlines()


def resident_bytes(name: str) -> int:
    """Return the memory that a container holds, without files that are merely cached."""
    container = _find(name)
    if container is None:
        return 0
    stats: Any = container.stats(stream=False)
    memory = stats["memory_stats"]
    return int(memory["usage"]) - int(memory["stats"].get("inactive_file", 0))


def _sdk() -> Any:
    """Import Docker's SDK when it is used: it is a fifth of the start of each command, and most need none."""
    import docker.errors  # noqa: PLC0415

    return docker


def _somebody_listens() -> bool:
    """Return whether the daemon's socket takes a connection: the SDK leaves one open that does not."""
    host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if not host.startswith("unix://"):
        return True  # the SDK finds out
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(host.removeprefix("unix://")) == 0


def _find(name: str) -> Any:
    try:
        return _client().containers.get(name)
    except _sdk().errors.NotFound:
        return None


@lru_cache(maxsize=1)
def _client() -> Any:
    host = os.environ.get("DOCKER_HOST") or "/var/run/docker.sock"
    silent = TestbedError(
        f"The Docker daemon at {host} does not answer.", "Start it, or use ENGINE=embedded."
    )
    if not _somebody_listens():
        raise silent
    try:
        return _sdk().from_env(timeout=60)
    except _sdk().errors.DockerException as error:
        raise silent from error
