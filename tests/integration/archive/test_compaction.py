"""Compaction against a running S3: killed before and after each of its calls, it loses and changes nothing."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from testbed.archive import compaction, local, reader, saved
from testbed.archive.compaction import compact
from testbed.archive.results import Rows
from testbed.archive.saved import Days
from testbed.errors import TestbedError
from testbed.paths import FUNCTIONS, REPOSITORY
from tests import archives
from tests.integration.conftest import REGION, AwsEmulator

FIRST = date(2026, 3, 1)
END = datetime(2026, 3, 3, tzinfo=UTC)
NOW = timedelta(0)  # remove at once
_numbers = itertools.count(1)


class KilledError(BaseException):
    """Stands for the death of the process: nothing of ours may catch it."""


@pytest.fixture(scope="module")
def s3(aws_emulator: AwsEmulator) -> Iterator[Any]:
    client = aws_emulator.client("s3")
    yield client
    client.close()


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"compaction-{next(_numbers)}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    return name


def answers(s3: Any, bucket: str) -> dict[str, Rows]:
    """Collect what every saved query says of those days."""
    days = Days(FIRST, FIRST + timedelta(days=1))
    return {
        name: local.run(s3, bucket, saved.compose(saved.load(name), days, "duckdb"), days)
        for name in saved.names()
    }


def contents(s3: Any, bucket: str) -> list[str]:
    """Read the distinct archived lines, whole."""
    return sorted({repr(sorted(record.items())) for record in reader.records(s3, bucket)})


@contextlib.contextmanager
def killed_at(s3: Any, number: int, *, after: bool) -> Iterator[None]:
    """Die at the call ``number`` to S3, before it is sent, or when it has been carried out."""
    calls = itertools.count()

    def hook(**_: Any) -> None:
        if next(calls) == number:
            raise KilledError

    event = "after-call.s3" if after else "before-call.s3"
    s3.meta.events.register(event, hook, unique_id="killer")
    try:
        yield
    finally:
        s3.meta.events.unregister(event, hook, unique_id="killer")


def test_an_hour_becomes_one_object_and_every_answer_stays(s3: Any, bucket: str) -> None:
    """What is read back is every line, unknown fields and all; copies by a retried batch are gone."""
    lines = archives.messages(FIRST, hours=4)
    batches = archives.store(s3, bucket, lines)
    before, had = answers(s3, bucket), contents(s3, bucket)
    assert len(had) == len({line["_source_message_id"] for line in lines})

    hours = compact(s3, bucket, END, settle=NOW)
    assert {key for hour in hours if (key := hour.written)} == set(
        reader.objects(s3, bucket, reader.COMPACTED)
    )
    assert sum(hour.objects for hour in hours) == len(batches)
    assert sum(hour.lines for hour in hours) == len(had)
    assert not list(reader.objects(s3, bucket))
    assert contents(s3, bucket) == had
    assert answers(s3, bucket) == before
    assert compact(s3, bucket, END, settle=NOW) == []


def test_killed_at_any_call_it_loses_nothing_and_the_next_run_ends_it(s3: Any, bucket: str) -> None:
    """Before each call and after it; the archive reads the same after every death, and the answers at the end."""
    archives.store(s3, bucket, archives.messages(FIRST, hours=1, minutes=20), retried=1)
    before, had = answers(s3, bucket), contents(s3, bucket)
    deaths = 0
    for number, after in ((call, after) for call in itertools.count() for after in (False, True)):
        try:
            with killed_at(s3, number, after=after):
                compact(s3, bucket, END, settle=NOW)
        except KilledError:
            deaths += 1
            assert contents(s3, bucket) == had, (number, after)
            if not list(reader.objects(s3, bucket)):
                break
        else:
            break
    assert deaths > 10
    compact(s3, bucket, END, settle=NOW)
    assert not list(reader.objects(s3, bucket))
    assert contents(s3, bucket) == had
    assert answers(s3, bucket) == before


def test_an_hour_that_is_too_large_at_once_is_merged_in_parts(s3: Any, bucket: str) -> None:
    """Each part is one Parquet object; what is known in another part's is not written again."""
    lines = archives.messages(FIRST, hours=1, minutes=1)
    batches = archives.store(s3, bucket, lines, retried=1)
    had = contents(s3, bucket)
    largest = max(each.size for each in reader.dated(s3, bucket, reader.PREFIX))
    kept = compact(s3, bucket, END, most_bytes=largest)
    assert len(kept) > 1
    assert sum(part.objects for part in kept) == len(set(batches))
    done = compact(s3, bucket, END, settle=NOW, most_bytes=2 * largest)
    assert {(part.written, part.removed) for part in done} == {(None, True)}
    stored = [record["_source_message_id"] for record in reader.records(s3, bucket)]
    assert len(stored) == len(set(stored)), "a line was written twice"
    assert contents(s3, bucket) == had


def test_what_there_is_no_time_for_is_left_to_the_next_run(s3: Any, bucket: str) -> None:
    archives.store(s3, bucket, archives.messages(FIRST, hours=3))
    had = contents(s3, bucket)
    asked = itertools.count()
    first = compact(s3, bucket, END, settle=NOW, enough=lambda: next(asked) >= 2)
    assert [part.folder for part in first] == ["dt=2026-03-01/hour=00"]
    rest = compact(s3, bucket, END, settle=NOW)
    assert {part.folder for part in rest}.isdisjoint({"dt=2026-03-01/hour=00"})
    assert contents(s3, bucket) == had


def test_an_hour_that_cannot_be_read_keeps_no_other_from_being_compacted(s3: Any, bucket: str) -> None:
    """And what is not the handler's is left alone."""
    archives.store(s3, bucket, archives.messages(FIRST, hours=3))
    torn, note = "telemetry/dt=2026-03-01/hour=00/torn.ndjson.gz", "telemetry/note.txt"
    s3.put_object(Bucket=bucket, Key=torn, Body=b"\x1f\x8b torn")
    s3.put_object(Bucket=bucket, Key=note, Body=b"not the handler's")
    with pytest.raises(TestbedError, match=r"could not be compacted: 1. The first is dt=2026-03-01/hour=00"):
        compact(s3, bucket, END, settle=NOW)
    left = list(reader.objects(s3, bucket))
    assert {torn, note} <= set(left)
    assert {key.rpartition("/")[0] for key in left} == {"telemetry/dt=2026-03-01/hour=00", "telemetry"}


def test_the_function_killed_in_the_middle_leaves_an_archive_that_reads_the_same(
    s3: Any, bucket: str, aws_emulator: AwsEmulator
) -> None:
    """Run it in a process of its own, as Lambda does, and kill that when its first Parquet object is stored."""
    archives.store(s3, bucket, archives.messages(FIRST, hours=2))
    had = contents(s3, bucket)
    killed = called(bucket, aws_emulator, "after-call.s3.PutObject")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list(reader.objects(s3, bucket, reader.COMPACTED))) == 1
    assert contents(s3, bucket) == had
    ended = called(bucket, aws_emulator, "never")
    assert ended.returncode == 0, ended.stderr
    counted = json.loads(ended.stdout.splitlines()[-1])
    assert counted["written"] == len(list(reader.objects(s3, bucket, reader.COMPACTED))) - 1
    assert counted["removed"] == counted["batches"]
    assert not list(reader.objects(s3, bucket))
    assert contents(s3, bucket) == had


_AS_LAMBDA = """
import json, os, signal, sys
from archive_compactor import app
class Context:
    function_name, memory_limit_in_mb, aws_request_id = "compactor", 1769, "request-1"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:compactor"
    def get_remaining_time_in_millis(self):
        return 600_000
app._s3().meta.events.register(sys.argv[1], lambda **_: os.kill(os.getpid(), signal.SIGKILL))
print(json.dumps(app.handler({"settle_minutes": 0}, Context())))
"""


def called(bucket: str, emulator: AwsEmulator, killed_at: str) -> "subprocess.CompletedProcess[str]":
    """Call the function, with the settings of terraform/compaction.tf; ``killed_at`` is an event of botocore."""
    settings = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{REPOSITORY}:{FUNCTIONS}",
        "AWS_ENDPOINT_URL": emulator.url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "TELEMETRY_BUCKET": bucket,
    }
    return subprocess.run(
        [sys.executable, "-c", _AS_LAMBDA, killed_at],
        env=settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_parquet_that_lacks_a_line_removes_nothing(
    s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that went wrong is found by reading it back."""
    batches = archives.store(s3, bucket, archives.messages(FIRST, hours=1))

    def lose_one(db: Any, path: Path) -> None:
        db.sql("SELECT * FROM batches WHERE line <> (SELECT min(line) FROM batches)").write_parquet(str(path))

    monkeypatch.setattr(compaction, "_write", lose_one)
    with pytest.raises(TestbedError, match="lacks 1 of the"):
        compact(s3, bucket, END, settle=NOW)
    assert sorted(reader.objects(s3, bucket)) == sorted(set(batches))
    monkeypatch.undo()
    compact(s3, bucket, END, settle=NOW)
    assert not list(reader.objects(s3, bucket))
    assert len(contents(s3, bucket)) == len(archives.messages(FIRST, hours=1))


def test_batches_stay_until_their_parquet_has_settled(s3: Any, bucket: str) -> None:
    """A query that listed one before the other was changed still finds every line."""
    batches = archives.store(s3, bucket, archives.messages(FIRST, hours=1))
    first = compact(s3, bucket, END)
    assert {hour.removed for hour in first} == {False}
    again = compact(s3, bucket, END)
    assert {(hour.written, hour.removed) for hour in again} == {(None, False)}
    assert sorted(reader.objects(s3, bucket)) == sorted(set(batches))
    assert {(hour.written, hour.removed) for hour in compact(s3, bucket, END, settle=NOW)} == {(None, True)}


def test_a_batch_that_comes_after_its_hour_was_compacted_is_added(s3: Any, bucket: str) -> None:
    """A message that SQS tried again for hours still belongs to the hour of its receipt."""
    lines = archives.messages(FIRST, hours=1)
    archives.store(s3, bucket, lines[:10], retried=0)
    compact(s3, bucket, END, settle=NOW)
    archives.store(s3, bucket, lines, retried=0)
    compact(s3, bucket, END, settle=NOW)
    assert not list(reader.objects(s3, bucket))
    assert len(contents(s3, bucket)) == len(lines)
    stored = [record["_source_message_id"] for record in reader.records(s3, bucket)]
    assert len(stored) == len(set(stored)), "a line was written twice"


def test_an_hour_that_has_not_ended_is_left_alone(s3: Any, bucket: str) -> None:
    archives.store(s3, bucket, archives.messages(FIRST, hours=3))
    compact(s3, bucket, datetime(2026, 3, 1, 1, 59, tzinfo=UTC), settle=NOW)
    left = {key.split("/")[2] for key in reader.objects(s3, bucket)}
    assert "hour=00" not in left
    assert {"hour=01", "hour=02"} <= left


def test_a_reader_that_listed_a_batch_before_it_went_still_reads_its_lines(s3: Any, bucket: str) -> None:
    archives.store(s3, bucket, archives.messages(FIRST, hours=2))
    had = contents(s3, bucket)
    reading = reader.records(s3, bucket)
    read = [next(reading)]
    compact(s3, bucket, END, settle=NOW)
    read += reading
    assert sorted({repr(sorted(record.items())) for record in read}) == had
