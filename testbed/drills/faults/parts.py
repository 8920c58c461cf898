"""Kill, freeze and restart the processes of a local deployment."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from testbed.deploy.deployment import Deployment
from testbed.drills.faults.proxy import FaultProxy
from testbed.engines.base import Place
from testbed.host import processes
from testbed.host.processes import Process

# Long enough for several tries of a call to fail, short of what anybody would call an outage.
FROZEN_SECONDS = 6.0
# ministack writes its state down when it ends; killed before that is over, it loses what it had acknowledged. On a
# loaded machine (load 30) 15 s were too short once.
_SAVING_SECONDS = 180.0


class Parts:
    """The parts of one deployment; the bridge calls AWS through the proxy."""

    def __init__(
        self, deployment: Deployment, proxy: FaultProxy, frozen_seconds: float = FROZEN_SECONDS
    ) -> None:
        """Touch nothing yet; see `bridge_through_proxy`. ``frozen_seconds``: how long what is frozen stays so."""
        self.frozen_seconds = frozen_seconds
        self._deployment = deployment
        self._engine = deployment.local_engine
        self._proxy = proxy

    @contextmanager
    def bridge_through_proxy(self) -> Iterator[None]:
        """Run a bridge that calls AWS through the proxy; restore the old way at the end."""
        try:
            self._restart_bridge(self._proxied)
            yield
        finally:
            self._restart_bridge(self._deployment.place)

    def kill_bridge(self) -> None:
        """Kill the bridge by SIGKILL, and start a new one."""
        self._deployment.processes["bridge"].stop(kill=True)
        self._restart_bridge(self._proxied)

    def kill_broker(self) -> None:
        """Kill the broker by SIGKILL, and start a new one with the old one's files."""
        self._deployment.processes["broker"].stop(kill=True)
        self._deployment.processes["broker"] = self._engine.start_broker(self._deployment.place)
        self._deployment.save()

    def kill_data_plane(self) -> None:
        """Kill what keeps shadows and jobs by SIGKILL, and start a new one with the old one's file."""
        self._deployment.processes["data-plane"].stop(kill=True)
        self._deployment.processes["data-plane"] = self._engine.start_data_plane(self._deployment.place)
        self._deployment.save()

    def freeze_broker(self) -> None:
        """Stop the broker for some seconds; it accepts connections and answers nothing."""
        _freeze(self._deployment.processes["broker"], self.frozen_seconds)

    def freeze_cloud(self) -> None:
        """Stop the emulator for some seconds."""
        _freeze(self._cloud, self.frozen_seconds)

    def restart_cloud(self) -> None:
        """End the emulator as a host that shuts down does, and start it with its state.

        A SIGKILL would lose what it had acknowledged, which AWS does not do: so calls wait at the proxy meanwhile.
        """
        self._proxy.gate(open=False)
        try:
            self._cloud.stop(seconds=_SAVING_SECONDS)
            started = self._engine.start_cloud(self._deployment.place)
            self._deployment.processes |= {process.name: process for process in started}
            self._deployment.save()
        finally:
            self._proxy.gate(open=True)

    def kill_lambda_workers(self) -> None:
        """Kill every process that runs a function by SIGKILL, in the middle of whatever it does."""
        self._cloud.kill_functions()

    @property
    def _cloud(self) -> Process:
        return self._deployment.processes[self._engine.cloud]

    @property
    def _proxied(self) -> Place:
        """The deployment's place, with the proxy where the bridge calls AWS."""
        return replace(self._deployment.place, bridge_calls=self._proxy.url)

    def _restart_bridge(self, place: Place) -> None:
        self._deployment.processes["bridge"].stop()
        # One that does not get ready must not stay behind, unknown to the deployment.
        with processes.stopped_on_failure():
            self._deployment.processes["bridge"] = self._engine.start_bridge(place)
        self._deployment.save()


def _freeze(process: Process, seconds: float) -> None:
    """Have a process stand still for so many seconds, and then go on."""
    try:
        process.suspend()
        time.sleep(seconds)
    finally:
        process.resume()
