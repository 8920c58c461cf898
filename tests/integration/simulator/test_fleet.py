"""A real fleet over mutual TLS: what was acknowledged has arrived, whatever happens to the broker."""

import asyncio
import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from simulator.connection import Connection, Identities
from simulator.device import REPLAY_MESSAGES, WINDOW
from simulator.fleet import Fleet
from simulator.ledger import Ledger
from simulator.messages import Telemetry, station_ids
from simulator.options import FleetOptions, FleetSummary
from simulator.packets import Topic
from testbed.paths import REPOSITORY
from tests.integration.simulator.conftest import STATIONS, FleetPlace, wait_until


def run(options: FleetOptions, tick: Callable[[Fleet], None] = lambda _: None) -> FleetSummary:
    async def whole() -> FleetSummary:
        ledger = Ledger(options.ledger)
        try:
            return await Fleet(options, ledger).run(tick)
        finally:
            ledger.close()

    return asyncio.run(whole())


def test_every_acknowledged_message_arrived(place: FleetPlace) -> None:
    """Twenty stations with their own certificates: what they made, the ledger and what arrived are the same."""
    summary = run(place.options(messages=10))
    assert (summary.connected, summary.acknowledged, summary.unacknowledged) == (STATIONS, 10 * STATIONS, 0)
    ledger = place.ledger_ids()
    assert len(ledger) == len(set(ledger)) == 10 * STATIONS
    place.collector.wait_for(set(ledger))
    assert place.collector.message_ids == set(ledger)
    # The broker lets a certificate publish under its own name only: so each station used its own.
    assert {json.loads(payload)["station_id"] for payload in place.collector.payloads} == set(
        station_ids(STATIONS)
    )


def test_shards_send_the_bytes_of_the_whole(place: FleetPlace) -> None:
    """With the same start and run id two half fleets publish exactly what the model makes for the whole."""
    start = datetime(2026, 3, 2, 8, tzinfo=UTC)
    options = place.options(messages=5, start=start, run_id="r", seed=11)
    for index in (1, 2):
        run(place.options(messages=5, start=start, run_id="r", seed=11, shard=(index, 2)))
    place.collector.wait_for(set(place.ledger_ids()))
    expected = set()
    for station_id in station_ids(STATIONS):
        source = Telemetry(options, station_id, "r", start)
        expected |= {source.next().payload for _ in range(5)}
    assert set(place.collector.payloads) == expected


@pytest.mark.parametrize("qos", [0, 1])
def test_an_interval_of_nothing_is_as_fast_as_the_broker(place: FleetPlace, qos: int) -> None:
    """Gulps of a window, and every message arrives once, in order."""
    summary = run(place.options(num_stations=2, interval=0, messages=700, qos=qos))
    assert (summary.sent, summary.unacknowledged) == (1400, 0)
    wait_until(lambda: len(place.collector.payloads) >= 1400, "the arrival of all")
    for station_id in station_ids(2):
        told = [json.loads(payload) for payload in place.collector.payloads]
        sequences = [one["sequence"] for one in told if one["station_id"] == station_id]
        assert sequences == list(range(1, 701))


def test_fixed_bytes_in_place_of_telemetry(place: FleetPlace) -> None:
    """`--payload-bytes`: so many, and acknowledged and noted as telemetry is."""
    summary = run(place.options(interval=0, messages=30, payload_bytes=16))
    assert summary.acknowledged == len(set(place.ledger_ids())) == 30 * STATIONS
    wait_until(lambda: len(place.collector.payloads) == 30 * STATIONS, "the arrival of all")
    assert set(place.collector.payloads) == {b"x" * 16}


def test_a_reconnect_storm_loses_nothing(place: FleetPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """All connections are cut at once, again and again; the stations come back and every message arrives."""

    def tick(fleet: Fleet) -> None:
        # Not when all are up at once: on a busy machine the next storm comes before the last one is back. Whoever is
        # away now comes back for what it has outstanding.
        if fleet.summary.disconnects >= 2 * STATIONS:
            fleet.stop()

    monkeypatch.setattr("simulator.fleet._FAREWELL_SECONDS", 60.0)
    summary = run(place.options(storm_every=1.0), tick)
    assert summary.disconnects >= 2 * STATIONS
    assert summary.unacknowledged == 0
    ledger = place.ledger_ids()
    assert len(ledger) == len(set(ledger)) == summary.acknowledged
    place.collector.wait_for(set(ledger))


def test_several_processes_are_one_fleet(place: FleetPlace) -> None:
    """`--processes 2`: one summary, a ledger each, and together every message of every station."""
    summary_file = place.folder / "summary.json"
    options = ["--num-stations", str(STATIONS), "--interval", "0.05", "--messages", "5", "--processes", "2"]
    done = subprocess.run(
        [*place.command(*options), "--summary", str(summary_file)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(summary_file.read_text())
    assert (summary["stations"], summary["connected"], summary["acknowledged"]) == (
        STATIONS,
        STATIONS,
        5 * STATIONS,
    )
    ledgers = [place.ledger.with_name(f"ledger-{number}.ndjson") for number in (1, 2)]
    noted = {json.loads(line)["message_id"] for file in ledgers for line in file.read_text().splitlines()}
    assert len(noted) == 5 * STATIONS
    place.collector.wait_for(noted)


def test_a_killed_broker_loses_nothing(place: FleetPlace) -> None:
    """kill -9 of a broker that owes answers: the stations come back by themselves, and no message is missing."""
    frozen: list[int] = []
    killed_at: list[int] = []

    def tick(fleet: Fleet) -> None:
        summary = fleet.summary
        if not frozen and summary.acknowledged > 200:
            place.broker.freeze()
            frozen.append(fleet.outstanding)
        elif frozen and not killed_at and fleet.outstanding == STATIONS * WINDOW:
            place.broker.kill()
            place.broker.start()
            killed_at.append(summary.acknowledged)
        elif (
            killed_at and fleet.up == STATIONS and summary.acknowledged > killed_at[0] + 2 * STATIONS * WINDOW
        ):
            fleet.stop()

    summary = run(place.options(), tick)
    assert summary.disconnects >= STATIONS
    assert summary.unacknowledged == 0
    ledger = place.ledger_ids()
    assert len(ledger) == len(set(ledger)) == summary.acknowledged
    place.collector.wait_for(set(ledger))
    # Not even one that was on its way: each station's messages are 1, 2, 3, ... without a gap.
    for station_id in station_ids(STATIONS):
        own = [int(name.rsplit("-", 1)[1]) for name in ledger if name.startswith(f"{station_id}-")]
        assert sorted(own) == list(range(1, len(own) + 1))


def test_a_publish_into_a_dead_connection_is_told_afterwards(place: FleetPlace) -> None:
    """`lost` is never called from within `publish`, whose caller has not noted the message yet."""

    async def scenario() -> None:
        endpoint, lost = place.options().endpoint, asyncio.Event()
        connection = Connection(
            "station-01", endpoint, Identities(endpoint), acknowledged=lambda _: None, lost=lost.set
        )
        await connection.connect()
        topic = Topic("ev-swap/stations/station-01/telemetry")
        place.broker.kill()
        for _ in range(3):  # the first ones only make the kernel learn that nobody is there
            assert connection.publish(topic, [b"{}"], 1)
            assert not lost.is_set()
        await asyncio.wait_for(lost.wait(), 10)

    asyncio.run(scenario())


@pytest.mark.parametrize("replay_window", [60.0, 0.0])
def test_the_replay_mends_a_broker_that_forgot(place: FleetPlace, replay_window: float) -> None:
    """A broker that lost what it had acknowledged is told again; without the replay those messages are gone."""
    # With its collector away the broker delivers nothing: all it acknowledges is in its memory alone.
    place.collector.stop()
    forgotten: list[int] = []

    def tick(fleet: Fleet) -> None:
        if not forgotten and fleet.summary.acknowledged >= 5 * STATIONS:
            place.broker.kill()
            place.broker.forget()
            place.broker.start()
            place.collector.start()
            forgotten.append(fleet.summary.acknowledged)
        elif forgotten and fleet.up == STATIONS:
            fleet.stop()

    summary = run(place.options(interval=0.2, replay_window=replay_window), tick)
    assert forgotten[0] < STATIONS * REPLAY_MESSAGES
    ledger = place.ledger_ids()
    assert len(ledger) == len(set(ledger)) == summary.acknowledged
    if replay_window:
        assert summary.replayed >= forgotten[0]
        place.collector.wait_for(set(ledger))
    else:
        assert summary.replayed == 0
        assert len(set(ledger) - place.collector.message_ids) >= forgotten[0]


def test_a_silent_broker_does_not_fill_the_memory(place: FleetPlace) -> None:
    """While the broker does not answer, a station has 20 messages outstanding at most; then it goes on."""
    seen: list[int] = []
    frozen_at: list[int] = []

    def tick(fleet: Fleet) -> None:
        if not frozen_at and fleet.up == STATIONS:
            place.broker.freeze()
            frozen_at.append(fleet.summary.acknowledged)
        elif frozen_at and len(seen) < 3:
            seen.append(fleet.outstanding)
            if len(seen) == 3:
                place.broker.thaw()
        elif frozen_at and fleet.summary.acknowledged > frozen_at[0] + 2 * STATIONS * WINDOW:
            fleet.stop()

    summary = run(place.options(interval=0.01), tick)
    assert seen[-1] == STATIONS * WINDOW
    assert max(seen) <= STATIONS * WINDOW
    assert summary.unacknowledged == 0
    place.collector.wait_for(set(place.ledger_ids()))


def test_a_station_with_anothers_certificate_is_kept_out(place: FleetPlace) -> None:
    """One station with a certificate that is not its own is refused and counted; the others do their work."""
    for ending in ("crt", "key"):
        shutil.copy(place.folder / f"station-02.{ending}", place.folder / f"station-01.{ending}")
    summary = run(
        place.options(),
        lambda fleet: fleet.stop() if fleet.summary.acknowledged >= 200 and fleet.summary.refused else None,
    )
    assert summary.connected == STATIONS - 1
    assert summary.refused >= 1
    place.collector.wait_for(set(place.ledger_ids()))
    assert not [name for name in place.collector.message_ids if name.startswith("station-01-")]


def test_qos_0_arrives_and_is_in_no_ledger(place: FleetPlace) -> None:
    """Without acknowledgements nothing is promised; on a healthy connection all arrives, all the same."""
    summary = run(place.options(messages=5, qos=0))
    assert (summary.sent, summary.acknowledged, summary.unacknowledged) == (5 * STATIONS, 0, 0)
    wait_until(lambda: len(place.collector.message_ids) == 5 * STATIONS, "the arrival of all")
    assert place.ledger.read_text() == ""


def test_a_last_word_is_waited_for(place: FleetPlace) -> None:
    """Ctrl-C: the program ends with exit code 0, and ledger, summary and what arrived agree to the message."""
    summary_file = place.folder / "summary.json"
    options = [
        "--num-stations",
        str(STATIONS),
        "--interval",
        "0.05",
        "--ramp",
        "1000",
        "--summary",
        str(summary_file),
    ]
    with subprocess.Popen(
        place.command(*options), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as process:
        wait_until(
            lambda: place.ledger.exists() and len(place.ledger.read_text().splitlines()) > 50, "publishing"
        )
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    summary = json.loads(summary_file.read_text())
    assert summary["unacknowledged"] == 0
    assert len(place.ledger_ids()) == summary["acknowledged"] == summary["sent"]
    place.collector.wait_for(set(place.ledger_ids()))


def test_the_log_is_as_the_seed_says(place: FleetPlace) -> None:
    """`--num-stations 10 --interval 5` and the lines that the documentation promises."""
    options = ["--num-stations", "10", "--interval", "0.1", "--messages", "1"]
    done = subprocess.run(
        place.command(*options), cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "INFO - Created 10 simulated stations"
    told = {json.loads(payload)["station_id"]: json.loads(payload) for payload in place.collector.payloads}
    for station_id in station_ids(10):
        batteries, celsius = told[station_id]["battery_available"], told[station_id]["temperature_c"]
        assert (
            f"INFO - Published telemetry for {station_id}: batteries={batteries}, temp={celsius:.1f}°C"
            in lines
        )


def test_a_full_disk_ends_the_run_with_an_error(place: FleetPlace) -> None:
    """A ledger that cannot be complete is said, and the exit code is not zero; the run does not go on without."""
    options = ["--num-stations", "2", "--interval", "0.05", "--ledger", "/dev/full"]
    done = subprocess.run(
        place.command(*options), cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: The ledger /dev/full cannot be written, so it is not complete")
    assert "Traceback" not in done.stderr
