"""LocalStack 4.14.0 without Docker, with ministack's IoT control plane beside it, Mosquitto, and the bridge.

Free LocalStack has no IoT API at all. ministack answers those calls, and nothing else here; devices connect to
Mosquitto, so ministack never runs a rule itself.
"""

from collections.abc import Sequence
from dataclasses import replace

from testbed.engines import embedded
from testbed.engines.base import (
    LOCALSTACK_LACKS,
    LOCALSTACK_STREAMS_LACK,
    Endpoints,
    EngineName,
    Place,
    Runtime,
    ShardRunner,
)
from testbed.engines.bridge import data_plane_url, start_bridge, start_data_plane
from testbed.engines.localstack_process import install, server
from testbed.engines.mosquitto import ensure_mosquitto, installed_version, start_mosquitto, wait_admitted
from testbed.host.environments import locked_version
from testbed.host.processes import Process


class LocalStackEngine:
    """See `testbed.engines.base.Engine`."""

    name: EngineName = "localstack"
    lacks = LOCALSTACK_LACKS
    cloud = "localstack"
    # Its rates in docs/performance.md are about a tenth of the embedded engine's.
    pace = 0.1
    keeps_state = False
    users_own = False
    run_shards: ShardRunner | None = None

    def install(self) -> None:
        """Install LocalStack's environment, DynamoDB Local, the executor; Mosquitto; and ministack for IoT."""
        install.install()
        ensure_mosquitto()
        embedded.EmbeddedEngine().install()

    def prepare_streams(self) -> tuple[str, ...]:
        """Install Kinesis' server."""
        install.install_kinesis(install.install().libraries)
        return LOCALSTACK_STREAMS_LACK

    def versions(self) -> dict[str, str]:
        """Return those of LocalStack, of Mosquitto, and of ministack for IoT."""
        return embedded.EmbeddedEngine().versions() | {
            "localstack": locked_version(install.REQUIREMENTS, "localstack-core"),
            "mosquitto": installed_version(),
        }

    def runtime(self) -> Runtime:
        """Return a Python of the version that LocalStack has, on which functions run as child processes."""
        here = Runtime.of_this_machine()
        return Runtime(install.python_of(install.install().runtime), here.architecture, here.platform)

    def endpoints(self, place: Place) -> Endpoints:
        """Return LocalStack for all but IoT, which is on a port of its own."""
        return replace(
            Endpoints.on_loopback(place.ports.aws, place.ports.iot), iot_data=data_plane_url(place)
        )

    def start_cloud(self, place: Place) -> list[Process]:
        """Start LocalStack and the IoT control plane, and wait on real calls."""
        localstack = server.start(
            install.install(),
            port=place.ports.aws,
            data_dir=place.data("localstack"),
            log_file=place.log("localstack"),
        )
        iot = embedded.start_ministack(place, place.ports.iot, name="iot")
        server.wait_ready(localstack, port=place.ports.aws, region=place.region)
        return [localstack, iot]

    def start_broker(self, place: Place) -> Process:
        """Start Mosquitto."""
        return start_mosquitto(place, self.endpoints(place))

    def start_bridge(self, place: Place) -> Process:
        """Start the bridge; Mosquitto does not tell who published."""
        return start_bridge(place, self.endpoints(place), names_publishers=False)

    def start_data_plane(self, place: Place) -> Process:
        """Start the data plane; Mosquitto does not tell who asks."""
        return start_data_plane(place, self.endpoints(place), names_publishers=False)

    def wait_admitted(self, place: Place, stations: Sequence[str]) -> None:
        """Wait until Mosquitto's access list has them."""
        wait_admitted(place, stations)

    def this_machine(self, place: Place) -> str:  # noqa: ARG002  # the contract's
        """Return loopback: they are child processes."""
        return "127.0.0.1"

    def saved_state(self, place: Place, since: float) -> bool:  # noqa: ARG002  # the contract's
        """Return False: free LocalStack keeps its state in memory."""
        return False

    def remove(self, place: Place) -> None:
        """Do nothing: nothing is left."""
