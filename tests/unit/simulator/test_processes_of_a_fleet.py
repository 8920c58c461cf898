"""Several processes are one fleet."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
from hypothesis import given
from hypothesis import strategies as st

from simulator.connection import Endpoint
from simulator.messages import station_ids
from simulator.options import FleetOptions, FleetSummary
from simulator.processes import add_up, shards

REPOSITORY = Path(__file__).parents[3]
ENV = os.environ | {"PYTHONPATH": str(REPOSITORY)}
NOWHERE = Endpoint("127.0.0.1", 1, None, None)


@given(stations=st.integers(1, 200), count=st.integers(1, 6), data=st.data(), processes=st.integers(1, 8))
def test_the_processes_share_exactly_the_shard(
    stations: int, count: int, data: st.DataObject, processes: int
) -> None:
    """Each station of `--shard 3/4 --processes 5` is in one process, and together they are the shard."""
    index = data.draw(st.integers(1, count))
    options = FleetOptions(stations, NOWHERE, shard=(index, count), ledger=Path("x/a.ndjson"))
    parts = shards(options, processes)
    ids = [station for part in parts for station in station_ids(stations, shard=part.shard)]
    assert sorted(ids) == station_ids(stations, shard=(index, count))
    assert len({part.run_id for part in parts}) == 1
    assert len({part.ledger for part in parts}) == processes


def test_summaries_are_added_up() -> None:
    """Counts add, times are the longest, and latencies are of all."""
    fast, slow = FleetSummary(stations=2, sent=5, seconds=3.0), FleetSummary(stations=1, sent=7, seconds=4.0)
    fast.latencies.add(0.001, 99)
    slow.latencies.add(1.0)
    whole = add_up([fast, slow])
    assert (whole.stations, whole.sent, whole.seconds, whole.latencies.count) == (3, 12, 4.0, 100)
    assert whole.latencies.quantile(0.5) < 0.0011
    assert whole.latencies.quantile(1.0) > 0.9


def test_no_process_of_a_fleet_outlives_a_killed_parent(tmp_path: Path) -> None:
    """Else its stations would stay connected, and nobody would know whose they are."""
    program = tmp_path / "spread.py"
    program.write_text(
        "import time\n"
        "from simulator.connection import Endpoint\n"
        "from simulator.options import FleetOptions\n"
        "from simulator.processes import run_spread\n"
        "def sleep(options):\n    print(options.shard, flush=True)\n    time.sleep(600)\n"
        "if __name__ == '__main__':\n"
        "    run_spread(FleetOptions(2, Endpoint('127.0.0.1', 1, None, None)), 2, sleep)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, cwd=REPOSITORY, env=ENV
    ) as parent:
        assert parent.stdout is not None
        assert len([parent.stdout.readline() for _ in range(2)]) == 2
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) >= 2
        parent.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
