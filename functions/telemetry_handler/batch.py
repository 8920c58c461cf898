"""One batch: read and check every record, then make each one safe; what is not in time is reported as failed.

The archive comes before the table, so the table never shows a message that the archive lacks; the history comes
after it, as only the table knows which message begins a new interval (`history.History.unknown`).
"""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from telemetry_handler import archive, dead_letters, envelope
from telemetry_handler.archive import Archive
from telemetry_handler.clients import POOL_SIZE, make_client, make_dynamodb, required_variable
from telemetry_handler.dead_letters import DeadLetter, DeadLetters
from telemetry_handler.envelope import Message, Record
from telemetry_handler.history import History, Window
from telemetry_handler.presence import Presence
from telemetry_handler.refusal import Refused
from telemetry_handler.stations import AT_ONCE, Move, Stations
from telemetry_handler.telemetry import STATION_ID, Telemetry, as_text, validate

_HOUR_MS = 3_600_000

Executor = concurrent.futures.ThreadPoolExecutor


class Stores(msgspec.Struct, frozen=True):
    """Where a batch goes. ``now`` gives the time (aware, UTC)."""

    archive: Archive
    stations: Stations
    history: History
    open_dead_letters: Callable[[], DeadLetters]  # not at start: most batches refuse nothing
    pool: Executor
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @classmethod
    def from_environment(cls) -> "Stores":
        """Open the stores that the function's environment variables name.

        Raises:
            RuntimeError: one is not set.
        """
        queue_url = required_variable("DEAD_LETTER_QUEUE_URL")
        opened: list[DeadLetters] = []

        def open_dead_letters() -> DeadLetters:
            if not opened:
                opened.append(DeadLetters(make_client("sqs"), queue_url))
            return opened[0]

        dynamodb = make_dynamodb()
        window = Window(
            int(required_variable("HISTORY_RESOLUTION_SECONDS")), int(required_variable("HISTORY_HOURS"))
        )
        return cls(
            Archive(make_client("s3"), required_variable("TELEMETRY_BUCKET")),
            Stations(dynamodb, required_variable("STATIONS_TABLE"), required_variable("AWS_REGION")),
            History(dynamodb, required_variable("HISTORY_TABLE"), window),
            open_dead_letters,
            concurrent.futures.ThreadPoolExecutor(POOL_SIZE, "store"),
        )


class Refusal(msgspec.Struct, frozen=True):
    """A refused record: where it came from, and why."""

    record_id: str
    topic: str | None
    client_id: str | None
    reason: Refused


class Problem(msgspec.Struct, frozen=True):
    """Something that could not be done in time; its records will be delivered again."""

    doing: str
    error: str
    records: int


class Outcome(msgspec.Struct):
    """What became of a batch. ``failed``: ids of records that are not safe yet."""

    records: int
    failed: set[str] = msgspec.field(default_factory=set)
    stored: int = 0
    duplicates: int = 0
    moved: int = 0
    stale: int = 0
    points: int = 0
    presence: int = 0
    ignored: int = 0
    archive_keys: list[str] = msgspec.field(default_factory=list)
    archive_bytes: int = 0
    # Of a stream: the shard, and the last record of the batch up to which all are safe.
    shard: str | None = None
    through: str | None = None
    refusals: list[Refusal] = msgspec.field(default_factory=list)
    problems: list[Problem] = msgspec.field(default_factory=list)

    def refused_by_code(self) -> dict[str, int]:
        """Count the records that were refused for each reason."""
        return dict(collections.Counter(refusal.reason.code for refusal in self.refusals))


class _Job(msgspec.Struct, frozen=True):
    """A call to a store, and the records that are not safe without it."""

    doing: str
    record_ids: list[str]
    call: Callable[..., Any]
    arguments: tuple[Any, ...]


class _Station(msgspec.Struct):
    """A station's messages in the batch, the newest of them, and every record that speaks of it."""

    newest: Telemetry
    messages: list[Telemetry]
    record_ids: list[str]


class _Connection(msgspec.Struct):
    latest: Presence
    record_ids: list[str]
    events: list[tuple[Presence, str]]  # each with its record


class _Hour(msgspec.Struct):
    """The lines of one hour of receipt, and every record that brought one."""

    lines: list[archive.Line]
    record_ids: list[str]


class Sorted(msgspec.Struct):
    """A batch, read and checked."""

    hours: dict[int, _Hour] = msgspec.field(default_factory=dict)
    letters: list[DeadLetter] = msgspec.field(default_factory=list)
    stations: dict[str, _Station] = msgspec.field(default_factory=dict)
    connections: dict[str, _Connection] = msgspec.field(default_factory=dict)


def process(
    records: list[Record], stores: Stores, seconds_left: Callable[[], float], *, in_order: bool = False
) -> Outcome:
    """Make every record safe: archived and shown, or dead-lettered. Never raises for what a record holds.

    Args:
        records: of one batch.
        stores: where they go.
        seconds_left: time until this must return.
        in_order: of a stream, which delivers the first failed record again, and with it all that came after it. A
            letter of one of those would be in the dead-letter queue once for each delivery: they are sent last, and
            not beyond the first failure.
    """
    outcome = Outcome(records=len(records))
    now = stores.now()
    batch = sort(records, now, outcome)
    if not in_order:
        _make_safe(batch, _letters(batch.letters, stores), now, stores, seconds_left, outcome)
        return outcome
    _make_safe(batch, [], now, stores, seconds_left, outcome)
    before = {record.record_id for record in _before_failure(records, outcome)}
    letters = [letter for letter in batch.letters if letter.record_id in before]
    _send(_letters(letters, stores), stores, seconds_left, outcome)
    safe = _before_failure(records, outcome)
    outcome.failed.update(record.record_id for record in records[len(safe) :])
    outcome.through = safe[-1].record_id if safe else None
    return outcome


def _before_failure(records: list[Record], outcome: Outcome) -> list[Record]:
    """Return the records before the first one that failed."""
    first = next((at for at, each in enumerate(records) if each.record_id in outcome.failed), len(records))
    return records[:first]


def _letters(letters: list[DeadLetter], stores: Stores) -> list[_Job]:
    """Return what sends the letters; without any, no client is made."""
    if not letters:
        return []
    queue = stores.open_dead_letters()
    return [
        _Job("dead-letter", [each.record_id for each in chunk], queue.send, (chunk,))
        for chunk in dead_letters.chunks(letters)
    ]


def _send(jobs: list[_Job], stores: Stores, seconds_left: Callable[[], float], outcome: Outcome) -> None:
    """Archive, and send dead letters."""
    for job, result in _run(jobs, stores.pool, seconds_left, outcome):
        if job.doing == "archive":
            outcome.stored += len(job.record_ids)
        else:
            not_taken = [each.record_id for each in result]
            _fail(outcome, "dead-letter", not_taken, "the queue did not take them")


def _make_safe(
    batch: Sorted,
    first: list[_Job],
    now: datetime,
    stores: Stores,
    seconds_left: Callable[[], float],
    outcome: Outcome,
) -> None:
    """Archive all lines, beside what is in ``first``; then show the stations' states; then the history."""
    # One late message must not take its batch to another hour's folder, where nobody who asks for today looks.
    for hour in batch.hours.values():
        packed = archive.pack(hour.lines)
        outcome.archive_keys.append(packed.key)
        outcome.archive_bytes += len(packed.body)
        first.append(_Job("archive", hour.record_ids, stores.archive.put, (packed,)))
    _send(first, stores, seconds_left, outcome)

    updated_at = as_text(now)
    # After the table: who connects and sends its first telemetry in one batch is a station.
    third = [
        _Job("presence", each.record_ids, stores.stations.show_connection, (each.latest, updated_at))
        for each in batch.connections.values()
    ]
    third += [
        _Job("connections", [record_id], stores.history.note_connection, (event, now))
        for each in batch.connections.values()
        for event, record_id in each.events
    ]
    archived = [each for each in batch.stations.values() if outcome.failed.isdisjoint(each.record_ids)]
    for station, move in _move(archived, updated_at, stores, seconds_left, outcome):
        outcome.moved += move.moved
        outcome.stale += not move.moved
        firsts = stores.history.firsts(station.messages, now)
        third += [
            _Job("history", station.record_ids, stores.history.put, point)
            for point in stores.history.unknown(firsts, move.before).items()
        ]
    for job, _ in _run(third, stores.pool, seconds_left, outcome):
        if job.doing == "presence":
            outcome.presence += len(job.record_ids)
        elif job.doing == "history":
            outcome.points += 1


def _move(
    stations: list[_Station],
    updated_at: str,
    stores: Stores,
    seconds_left: Callable[[], float],
    outcome: Outcome,
) -> Iterable[tuple[_Station, Move]]:
    """Show the stations' states, many by a call; give those of which it is known, note the others as failed."""
    together: list[_Job] = []
    alone: list[_Station] = []
    for at in range(0, len(stations), AT_ONCE):
        chunk = stations[at : at + AT_ONCE]
        if len(chunk) == 1:
            alone += chunk
            continue
        record_ids = [record_id for each in chunk for record_id in each.record_ids]
        newest = [each.newest for each in chunk]
        together.append(_Job("table", record_ids, stores.stations.move_all_forward, (newest, updated_at)))
    of = {each.newest.station_id: each for each in stations}
    for job, moves in _run(together, stores.pool, seconds_left, outcome):
        for newest, move in zip(job.arguments[0], moves, strict=True):
            station = of[newest.station_id]
            if move is None:
                alone.append(station)
            else:
                yield station, move
    jobs = [
        _Job("table", each.record_ids, stores.stations.move_forward, (each.newest, updated_at))
        for each in alone
    ]
    for job, move in _run(jobs, stores.pool, seconds_left, outcome):
        yield of[job.arguments[0].station_id], move


def sort(records: list[Record], now: datetime, outcome: Outcome) -> Sorted:
    """Read and check ``records``; what is refused, or fails, is noted in ``outcome``."""
    batch = Sorted()
    seen: dict[tuple[str, bytes], _Hour] = {}
    for record in records:
        carried: Message | Presence | None = None
        try:
            carried = envelope.read(record)
            if isinstance(carried, Presence):
                _note_presence(carried, record, batch, outcome)
                continue
            message = carried
            telemetry = validate(message, now)
            line = archive.line(message, telemetry)
        except Refused as reason:
            # Without a readable envelope, all of the body is what was refused.
            message = carried if isinstance(carried, Message) else envelope.bare(record)
            outcome.refusals.append(Refusal(record.record_id, message.topic, message.client_id, reason))
            batch.letters.append(dead_letters.letter(message, reason, as_text(now)))
            continue
        except Exception as error:  # a bug that one record brings out must not take its neighbours
            _fail(outcome, "read", [record.record_id], _named(error))
            continue
        _note_state(telemetry, record, batch)
        known = (telemetry.message_id, message.payload)
        if hour := seen.get(known):
            outcome.duplicates += 1
        else:
            hour = seen[known] = batch.hours.setdefault(message.received_at // _HOUR_MS, _Hour([], []))
            hour.lines.append(line)
        hour.record_ids.append(record.record_id)
    return batch


def _note_state(telemetry: Telemetry, record: Record, batch: Sorted) -> None:
    station = batch.stations.get(telemetry.station_id)
    if station is None:
        batch.stations[telemetry.station_id] = _Station(telemetry, [telemetry], [record.record_id])
        return
    station.messages.append(telemetry)
    station.record_ids.append(record.record_id)
    if telemetry.order > station.newest.order:
        station.newest = telemetry


def _note_presence(presence: Presence, record: Record, batch: Sorted, outcome: Outcome) -> None:
    # Consoles connect too, and AWS also tells of failed attempts: neither is a station's state.
    if presence.connection is None or not STATION_ID.fullmatch(presence.client_id):
        outcome.ignored += 1
        return
    connection = batch.connections.get(presence.client_id)
    if connection is None:
        batch.connections[presence.client_id] = _Connection(
            presence, [record.record_id], [(presence, record.record_id)]
        )
        return
    connection.record_ids.append(record.record_id)
    connection.events.append((presence, record.record_id))
    if presence.supersedes(connection.latest):
        connection.latest = presence


def _run(
    jobs: list[_Job], pool: Executor, seconds_left: Callable[[], float], outcome: Outcome
) -> Iterable[tuple[_Job, Any]]:
    """Run ``jobs`` side by side; give those that succeeded with their results, note the others as failed."""
    waiting = collections.deque(jobs)
    ended: collections.deque[tuple[_Job, Any, Exception | None]] = collections.deque()

    def work() -> None:
        # A few workers that take jobs, and not a future for each: that costs more than validating its record.
        while waiting and seconds_left() > 0:
            try:
                job = waiting.popleft()
            except IndexError:
                return
            try:
                ended.append((job, job.call(*job.arguments), None))
            except Exception as error:
                ended.append((job, None, error))

    workers = [pool.submit(work) for _ in range(min(len(jobs), POOL_SIZE))]
    concurrent.futures.wait(workers, timeout=max(0.0, seconds_left()))
    # What still runs may succeed behind our back: then its repetition changes nothing.
    waiting.clear()
    for worker in workers:
        worker.cancel()
    unfinished = {id(job): job for job in jobs}
    for job, result, error in list(ended):
        del unfinished[id(job)]
        if error is None:
            yield job, result
        else:
            _fail(outcome, job.doing, job.record_ids, _named(error))
    for job in unfinished.values():
        _fail(outcome, job.doing, job.record_ids, "out of time")


def _fail(outcome: Outcome, doing: str, record_ids: list[str], error: str) -> None:
    if record_ids:
        outcome.failed.update(record_ids)
        outcome.problems.append(Problem(doing, error, len(record_ids)))


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
