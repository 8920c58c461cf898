"""Takes each protection out, once, in a copy of the sources, and runs the test that is about it: the test must fail.

python -m tests.faults.protections            all (some minutes)
python -m tests.faults.protections archive    those with this word in their name
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from testbed.paths import state_root
from tests.sources import copy_to

_TIMEOUT_SECONDS = 60
_HANDLER = "functions/telemetry_handler/"
_HANDLER_TESTS = "tests/integration/functions/test_handler_"
_BRIDGE_TESTS = "tests/integration/bridge/test_faults.py::"
_FLEET_TESTS = "tests/integration/simulator/test_fleet.py::"
_DEPLOYED = "tests/faults/test_faults.py::test_nothing_is_lost_while_parts_die"


@dataclass(frozen=True)
class Protection:
    """A protection: ``text`` in ``file`` is it, ``without`` is the source that lacks it, ``test`` must notice."""

    name: str
    file: str
    text: str
    without: str
    test: str
    environment: dict[str, str] = field(default_factory=dict)
    seconds: int = _TIMEOUT_SECONDS
    # Without it the test never ends: its time-out is the failure.
    hangs: bool = False


def _deployed(name: str, file: str, text: str, without: str, only: str) -> Protection:
    """Describe a protection that a run of `make drills WHAT=faults` with these faults alone must miss."""
    environment = {"FAULT_ONLY": only, "FAULT_SECONDS": "45", "DEPLOYMENT": "protections"}
    return Protection(name, file, text, without, _DEPLOYED, environment, seconds=600)


PROTECTIONS = [
    Protection(
        "archive before table", _HANDLER + "batch.py",
        "for each in batch.stations.values() if outcome.failed.isdisjoint(each.record_ids)]",
        "for each in batch.stations.values()]",
        _HANDLER_TESTS + "faults.py::test_without_the_archive_no_good_record_is_safe",
    ),
    Protection(
        "what failed is reported as failed", _HANDLER + "batch.py", "outcome.failed.update(record_ids)", "pass",
        _HANDLER_TESTS + "faults.py::test_only_the_station_that_was_not_written_fails",
    ),
    Protection(
        "the table moves forward only", _HANDLER + "stations.py",
        '_NEWER = (\n    "attribute_not_exists(#timestamp)', '_NEWER = (\n    "attribute_exists(station_id) OR '
        'attribute_not_exists(#timestamp)',
        _HANDLER_TESTS + "stores.py::test_the_table_only_moves_forward",
    ),
    Protection(
        "many stations' states move forward only", _HANDLER + "stations.py",
        'AND "timestamp"<?', 'AND "timestamp"<>?',
        _HANDLER_TESTS + "faults.py::test_known_stations_are_written_by_one_call",
    ),
    Protection(
        "a batch's name is its content's digest", _HANDLER + "archive.py", "hashlib.sha256(text).hexdigest()[:32]",
        "hashlib.sha256(text + __import__('os').urandom(9)).hexdigest()[:32]",
        _HANDLER_TESTS + "faults.py::test_a_lost_answer_of_the_archive_does_no_harm",
    ),
    Protection(
        "an older message is no failure", _HANDLER + "stations.py",
        "        except self._client.exceptions.ConditionalCheckFailedException:\n            return None\n",
        "        except self._client.exceptions.ConditionalCheckFailedException:\n            raise\n",
        _HANDLER_TESTS + "faults.py::test_a_lost_answer_of_the_table_does_no_harm",
    ),
    Protection(
        "a record's own bug stays its own", _HANDLER + "batch.py",
        "except Exception as error:  # a bug", "except OSError as error:  # a bug",
        _HANDLER_TESTS + "faults.py::test_a_bug_that_one_record_brings_out_does_not_take_its_neighbours",
    ),
    Protection(
        "a refused record is dead-lettered", _HANDLER + "batch.py", "batch.letters.append(", "str(",
        _HANDLER_TESTS + "stores.py::"
        "test_bad_records_go_to_the_dead_letter_queue_and_their_neighbours_are_stored",
    ),
    Protection(
        "a fuzzed payload is refused, not raised", _HANDLER + "batch.py", "except Refused as reason:",
        "except ZeroDivisionError as reason:",
        _HANDLER_TESTS + "fuzz.py::test_ten_thousand_fuzzed_payloads_are_stored_or_dead_lettered",
        {"FUZZ_PAYLOADS": "1000"},
    ),
    Protection(
        "each entry of a batch call is looked at", _HANDLER + "dead_letters.py",
        "return [each for position, each in enumerate(chunk) if position not in taken]", "return []",
        _HANDLER_TESTS + "faults.py::test_a_partly_refused_call_to_the_dead_letter_queue",
    ),
    Protection(
        "an answer in time, whatever hangs", _HANDLER + "batch.py", ", timeout=max(0.0, seconds_left()))", ")",
        _HANDLER_TESTS + "faults.py::test_what_hangs_is_reported_in_time", hangs=True,
    ),
    Protection(
        "nothing is begun without time", _HANDLER + "batch.py", "while waiting and seconds_left() > 0:",
        "while waiting:", _HANDLER_TESTS + "faults.py::test_without_time_nothing_is_begun",
    ),
    Protection(
        "a throttled call is tried again", _HANDLER + "clients.py", '"total_max_attempts": 3',
        '"total_max_attempts": 1', _HANDLER_TESTS + "faults.py::test_a_throttled_call_is_tried_again",
    ),
    Protection(
        "the whole handler against its model", _HANDLER + "batch.py",
        "if telemetry.order > station.newest.order:", "if telemetry.order < station.newest.order:",
        _HANDLER_TESTS + "model.py::test_the_pipeline_against_its_model",
        seconds=180,
    ),
    Protection(
        "a history that fails is tried again", _HANDLER + "batch.py",
        '_Job("history", station.record_ids, stores.history.put, point)',
        '_Job("history", [], stores.history.put, point)',
        "tests/integration/functions/test_history.py::test_a_history_that_fails_is_tried_again",
    ),
    Protection(
        "the bridge acknowledges after the action", "bridge/runtime/dispatcher.py",
        "delivery = _Delivery(acknowledge, time.monotonic())",
        "acknowledge(); delivery = _Delivery(lambda: None, time.monotonic())",
        _BRIDGE_TESTS + "test_a_killed_bridge_loses_nothing", seconds=300,
    ),
    Protection(
        "the bridge's session outlives it", "bridge/runtime/session.py",
        "properties.SessionExpiryInterval = _SESSION_NEVER_EXPIRES", "properties.SessionExpiryInterval = 0",
        _BRIDGE_TESTS + "test_a_killed_bridge_loses_nothing", seconds=300,
    ),
    Protection(
        "nobody answering is no refusal", "bridge/actions/base.py", "unreachable=unreachable,", "unreachable=False,",
        "tests/unit/bridge/actions/test_failures.py::test_an_endpoint_that_is_away_is_unreachable_and_nothing_lasting",
    ),
    Protection(
        "a message is on disk before it is acknowledged", "bridge/broker/server.py",
        "            session.queue.append(*stored)\n",
        "            asyncio.get_running_loop().call_later(\n"
        "                0.3, lambda queue=session.queue: (queue.append(*stored), self.pump(session))\n"
        "            )\n",
        _BRIDGE_TESTS + "test_a_killed_broker_loses_nothing", seconds=300,
    ),
    Protection(
        "the broker reads back what waits", "bridge/broker/spool.py", "found[entry.number] = entry", "pass",
        "tests/unit/bridge/broker/test_spool.py::test_what_waits_is_there_after_a_restart",
    ),
    Protection(
        "a torn record of the spool is cut off", "bridge/broker/spool.py",
        "            os.ftruncate(segment.handle, segment.size)\n            self._segments[name] = segment",
        "            self._segments[name] = segment",
        "tests/unit/bridge/broker/test_spool.py::test_a_record_that_was_cut_in_two_is_forgotten_and_the_rest_stays",
    ),
    Protection(
        "a full disk of the spool is an error", "bridge/broker/spool.py", "if written != len(record):",
        "if written > len(record):",
        "tests/unit/bridge/broker/test_spool.py::test_a_full_disk_is_an_error_and_costs_nothing_that_is_there",
    ),
    Protection(
        "a station sends again what was not acknowledged", "simulator/device.py",
        "self._waiting.extendleft(reversed(self._unacknowledged.values()))", "pass",
        _FLEET_TESTS + "test_a_killed_broker_loses_nothing",
    ),
    Protection(
        "a station replays after a reconnect", "simulator/device.py", "self._send([*again, *waiting])",
        "self._send([*waiting])", _FLEET_TESTS + "test_the_replay_mends_a_broker_that_forgot", seconds=240,
    ),
    Protection(
        "a full disk of the ledger is an error", "simulator/ledger.py",
        "        except OSError as error:\n            raise LedgerError(\n"
        '                f"The ledger {self.path} cannot be written',
        "        except OSError as error:\n            return\n            raise LedgerError(\n"
        '                f"The ledger {self.path} cannot be written',
        "tests/unit/simulator/test_ledger.py::test_a_full_disk_is_an_error_not_a_gap",
    ),
    Protection(
        "a command that comes again is known, over a restart, too", "simulator/commands.py",
        "if known := self._file.answer(self._station_id, command.command_id):", "if known := None:",
        "tests/unit/simulator/test_station_commands.py::"
        "test_a_command_is_carried_out_once_though_the_simulator_was_restarted",
    ),
    Protection(
        "the shadow's late answer is left", "simulator/shadow.py",
        'if name == "get/accepted" and said.get("version", 0) >= self._version:', 'if name == "get/accepted":',
        "tests/unit/simulator/test_station_settings.py::test_an_answer_that_comes_late_does_not_bring_back_what_was",
    ),
    _deployed(
        "deployed: what failed is reported as failed", _HANDLER + "batch.py", "outcome.failed.update(record_ids)",
        "pass", "S3 answers",
    ),
    _deployed(
        "deployed: a batch's failures are asked for", "terraform/lambda.tf",
        'function_response_types = ["ReportBatchItemFailures"]', "function_response_types = []", "S3 answers",
    ),
    _deployed(
        "deployed: the table moves forward only", _HANDLER + "stations.py",
        '_NEWER = (\n    "attribute_not_exists(#timestamp)', '_NEWER = (\n    "attribute_exists(station_id) OR '
        'attribute_not_exists(#timestamp)', "past last",
    ),
    _deployed(
        "deployed: late messages have their history points", _HANDLER + "history.py",
        "        if shown is None:\n            return firsts\n", "        if shown is None:\n            return {}\n",
        "past last",
    ),
]  # fmt: skip


@contextmanager
def copy_without(protection: Protection) -> Iterator[Path]:
    """Make a copy of the sources that lacks the protection."""
    with tempfile.TemporaryDirectory(prefix="protection-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        copy_to(folder)
        broken = folder / protection.file
        broken.write_text(taken_out(protection, broken.read_text()))
        # Packages and deployments of its own; what is installed is shared.
        state = folder / ".testbed"
        state.mkdir()
        for shared in ("venvs", "airgap"):
            if (state_root() / shared).exists():
                (state / shared).symlink_to(state_root() / shared)
        yield folder


def taken_out(protection: Protection, source: str) -> str:
    """Take the protection out of ``source``.

    Raises:
        LookupError: it is not there exactly once; then the list above is to be mended.
    """
    if source.count(protection.text) != 1:
        raise LookupError(f"{protection.file} has not exactly one {protection.text!r}")
    return source.replace(protection.text, protection.without)


def notices(protection: Protection) -> tuple[bool, str]:
    """Tell whether the test fails without the protection, and its last words."""
    with copy_without(protection) as folder:
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-o", "timeout_func_only=true",
                f"--timeout={protection.seconds}", protection.test,
            ],
            cwd=folder, capture_output=True, text=True, check=False,
            env=os.environ | {"TESTBED_HOME": str(folder / ".testbed")} | protection.environment,
        )  # fmt: skip
    # 1: a test failed. Everything else (collection, usage) is a mistake of this list.
    words = [line for line in done.stdout.splitlines() if line.startswith(("E  ", "FAILED", "ERROR"))]
    failed = done.returncode == 1 and any(line.startswith("FAILED") for line in words)
    if failed and not protection.hangs and "from pytest-timeout" in done.stdout:
        failed = False
    return failed, (words or done.stdout.splitlines() or done.stderr.splitlines() or ["nothing"])[-1]


def main(words: Sequence[str]) -> int:
    """Go through the list; 1 if a test does not notice."""
    silent = 0
    for protection in PROTECTIONS:
        if words and not any(word in protection.name for word in words):
            continue
        begun = time.monotonic()
        failed, said = notices(protection)
        silent += not failed
        test = protection.test.rpartition("::")[2]
        print(
            f"| {protection.name} | `{test}` | {'fails' if failed else 'DOES NOT NOTICE: ' + said} |"
            f" {time.monotonic() - begun:.0f} s |",
            flush=True,
        )
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
