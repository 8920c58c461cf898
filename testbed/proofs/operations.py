"""The audit of what comes down to stations: settings and commands.

Three sides are held against each other: what the API answered to an operator (the drill's operator keeps a ledger of
it), what the stations did of it (the simulator's journals), and what the cloud holds (operations table and shadows).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from testbed.deploy.deployment import Deployment
from testbed.proofs.ledgers import CarriedOut, Changed, Commanded, Followed, OperationsLine

# A station that speaks this long after a change was accepted has heard of it, or something was lost.
_REPORTS_WITHIN = timedelta(seconds=60)
# Calls of a Lambda function that write at the same time may be this far apart: the function's time-out.
_AT_THE_SAME_TIME = timedelta(seconds=60)
# The table forgets commands after 90 days (functions/api_handler/commands.py).
_COMMANDS_KEPT = timedelta(days=89)
_SHOWN = 10
_CALLS_AT_ONCE = 8

# Each guarantee, and how a person is told that it was not kept.
GUARANTEES = {
    "changes_missing": "accepted settings that the history does not have with who and when",
    "changes_of_one_version": "accepted settings that overwrote each other unseen",
    "settings_lost": "settings in a shadow that are not the last accepted ones",
    "settings_not_reported": "settings that a station has not reported though it spoke since",
    "settings_not_applied": "settings that are reported and no station applied",
    "commands_missing": "accepted commands that the table does not have",
    "commands_repeated": "commands that a station carried out more than once",
    "commands_not_carried_out": "commands that are answered and no station carried out",
    "commands_not_asked_for": "commands that a station carried out and nobody asked for",
}


@dataclass(frozen=True)
class OperationsReport:
    """What was held against each other, and what does not fit.

    ``changes`` and ``commands``: those that the cloud has as accepted; ``changes_unknown``: those of which the function
    ended before it wrote down what became of them. ``wrong`` counts by guarantee (`GUARANTEES`), and ``found`` has some
    of it in words.
    """

    changes: int = 0
    changes_conflicted: int = 0
    changes_unknown: int = 0
    commands: int = 0
    commands_answered: int = 0
    commands_timed_out: int = 0
    commands_waiting: int = 0
    wrong: dict[str, int] = field(default_factory=lambda: dict.fromkeys(GUARANTEES, 0))
    found: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every guarantee held."""
        return not any(self.wrong.values())


class Shadow(msgspec.Struct, frozen=True):
    """What a station's shadow says of its settings: empty where there is none."""

    desired: dict[str, Any] = {}
    reported: dict[str, Any] = {}
    refused: dict[str, Any] = {}


@dataclass(frozen=True)
class Held:
    """What the cloud holds: items of the operations table, shadows, and when stations said their newest message."""

    items: list[dict[str, Any]]
    shadows: Mapping[str, Shadow]
    spoke: Mapping[str, datetime]
    now: datetime


def collect(deployment: Deployment, spoke: Mapping[str, datetime]) -> Held:
    """Read what the cloud holds of settings and commands."""
    resource = deployment.session.resource("dynamodb", endpoint_url=deployment.aws_url)
    table = resource.Table(deployment.outputs.operations_table_name)
    items: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    while True:
        page = table.scan(ConsistentRead=True, **more)
        items += page["Items"]
        if "LastEvaluatedKey" not in page:
            break
        more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    changed = sorted({item["station_id"] for item in items if item["operation"].startswith("settings#")})
    client = deployment.client("iot-data", max_pool_connections=_CALLS_AT_ONCE)
    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        shadows = dict(zip(changed, pool.map(partial(_shadow, client), changed), strict=True))
    return Held(items, shadows, spoke, datetime.now(UTC))


def _shadow(client: Any, station_id: str) -> Shadow:
    try:
        answer = client.get_thing_shadow(thingName=station_id)
    except client.exceptions.ResourceNotFoundException:
        return Shadow()
    state = msgspec.json.decode(answer["payload"].read())["state"]
    reported = state.get("reported", {})
    return Shadow(
        state.get("desired", {}).get("settings", {}),
        reported.get("settings", {}),
        reported.get("refused", {}),
    )


def judge(lines: Iterable[OperationsLine], held: Held) -> OperationsReport:
    """Hold the lines of ledgers and journals against what the cloud holds."""
    stations: defaultdict[str, _Station] = defaultdict(_Station)
    for line in lines:
        stations[line.station_id].add(line)
    for item in held.items:
        stations[item["station_id"]].add_item(item)
    wrong, found, counts = dict.fromkeys(GUARANTEES, 0), list[str](), Counter[str]()
    for name, station in sorted(stations.items()):
        counts.update(station.counts(held.now))
        for guarantee, what in station.faults(
            held.shadows.get(name, Shadow()), held.spoke.get(name), held.now
        ):
            wrong[guarantee] += 1
            if len(found) < _SHOWN:
                found.append(f"{name}: {what}")
    return OperationsReport(**counts, wrong=wrong, found=found)


class _Station:
    """Everything about one station."""

    def __init__(self) -> None:
        self.changed: list[Changed] = []
        self.commanded: list[Commanded] = []
        self.followed: list[Followed] = []
        self.carried_out: list[CarriedOut] = []
        self.history: list[dict[str, Any]] = []
        self.commands: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, dict[str, Any]] = {}

    def add(self, line: OperationsLine) -> None:
        kinds = (self.changed, self.commanded, self.followed, self.carried_out)
        kinds[(Changed, Commanded, Followed, CarriedOut).index(type(line))].append(line)  # type: ignore[arg-type]

    def add_item(self, item: dict[str, Any]) -> None:
        kind, _, rest = str(item["operation"]).partition("#")
        if kind == "settings":
            self.history.append(item | {"settings": msgspec.json.decode(item["settings"])})
        elif kind == "command":
            self.commands[rest] = item
        elif kind == "answer":
            self.answers[rest] = item

    def counts(self, now: datetime) -> Iterator[str]:
        """Yield a field of the report for each thing that is to be counted there."""
        names = {"accepted": "changes", "conflict": "changes_conflicted", "unknown": "changes_unknown"}
        yield from (names.get(item["outcome"], "changes_unknown") for item in self.history)
        for command_id, item in self.commands.items():
            yield "commands"
            if command_id in self.answers:
                yield "commands_answered"
            else:
                yield "commands_timed_out" if _moment(item["answer_by"]) < now else "commands_waiting"

    def faults(self, shadow: Shadow, spoke: datetime | None, now: datetime) -> Iterator[tuple[str, str]]:
        """Yield each guarantee that was not kept, with what was found."""
        accepted = {int(item["version"]): item for item in self.history if item["outcome"] == "accepted"}
        yield from self._unwritten(accepted)
        yield from self._unset(accepted, shadow, spoke)
        yield from self._misdone(now)

    def _unwritten(self, accepted: Mapping[int, dict[str, Any]]) -> Iterator[tuple[str, str]]:
        for change in self.changed:
            item = accepted.get(change.version)
            if item is None or item["settings"] != change.settings or not (item["by"] and item["at"]):
                yield "changes_missing", f"version {change.version} was accepted: {change.settings}"
        versions = Counter(int(item["version"]) for item in self.history if item["outcome"] == "accepted")
        for version in (version for version, count in versions.items() if count > 1):
            yield "changes_of_one_version", f"several changes made version {version}"

    def _unset(
        self, accepted: Mapping[int, dict[str, Any]], shadow: Shadow, spoke: datetime | None
    ) -> Iterator[tuple[str, str]]:
        last = {
            name: accepted[version] for version in sorted(accepted) for name in accepted[version]["settings"]
        }
        applied = [line.settings for line in self.followed]
        for name in sorted({*last, *shadow.desired}):
            wanted, item = shadow.desired.get(name), last.get(name)
            if wanted not in self._possible(name, item):
                known = item["settings"][name] if item else "nothing"
                yield "settings_lost", f"{name} is {wanted} in the shadow; {known} was accepted last"
            reported = shadow.reported.get(name)
            if reported != wanted:
                late = item and spoke and spoke > _moment(item["at"]) + _REPORTS_WITHIN
                if late and name not in shadow.refused:
                    yield "settings_not_reported", f"{name} is to be {wanted}, reported is {reported}"
            elif applied and not any(settings.get(name) == reported for settings in applied):
                yield "settings_not_applied", f"{name} is reported as {reported}"

    def _possible(self, name: str, item: dict[str, Any] | None) -> list[Any]:
        """List what a setting may be: what was accepted last, or what nobody knows the fate of since then."""
        since = _moment(item["at"]) - _AT_THE_SAME_TIME if item else None
        return [
            *([item["settings"][name]] if item else []),
            *(
                each["settings"][name]
                for each in self.history
                if each["outcome"] == "unknown" and name in each["settings"]
                if since is None or _moment(each["at"]) >= since
            ),
        ]

    def _misdone(self, now: datetime) -> Iterator[tuple[str, str]]:
        recently = [line for line in self.carried_out if now - _moment(line.at) < _COMMANDS_KEPT]
        for asked in self.commanded:
            if now - _moment(asked.at) < _COMMANDS_KEPT and asked.command_id not in self.commands:
                yield "commands_missing", f"{asked.command} ({asked.command_id}) was accepted"
        times = Counter(line.command_id for line in self.carried_out)
        yield from (
            ("commands_repeated", f"{each}, {count} times") for each, count in times.items() if count > 1
        )
        for line in recently:
            if line.command_id not in self.commands:
                yield "commands_not_asked_for", f"{line.command} ({line.command_id})"
        # Before its first journal a station was not watched.
        moments = [line.at for line in self.followed] + [line.at for line in self.carried_out]
        watched = min(map(_moment, moments), default=None)
        for command_id in self.answers.keys() - times.keys():
            item = self.commands.get(command_id)
            if item is None or (watched and _moment(item["at"]) > watched):
                yield "commands_not_carried_out", f"{command_id} is answered"


def _moment(text: str) -> datetime:
    return msgspec.convert(text, datetime)
