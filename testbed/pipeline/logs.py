"""Read logs of every kind as lines of one form: the functions' from CloudWatch, the processes' from their files."""

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError
from testbed.host.processes import Container, Process

# What every line of a function says again.
_SAME_EVERYWHERE = frozenset({"location", "service", "cold_start", "xray_trace_id"})
_TEXT = re.compile(
    r"^\[?(?P<day>\d{4}-\d\d-\d\d)[T ](?P<time>\d\d:\d\d:\d\d)(?:[.,](?P<part>\d{1,6}))?"
    r"(?P<zone>Z| ?[+-]\d\d:?\d\d)?\]?"
    r"(?:[\s-]+\[?(?P<level>DEBUG|INFO|WARN(?:ING)?|ERROR|CRITICAL)\b\]?)?[:\s]*(?P<message>.*)$"
)
_REPORT = re.compile(r"^REPORT RequestId: (?P<id>\S+)\s+(?P<rest>.*)$", re.DOTALL)
_NO_GROUP = "ResourceNotFoundException"
_POLL_SECONDS = 1.0
# Of a process, how far back a follower looks for where it was.
_WINDOW = 2000


@dataclass(frozen=True)
class Line:
    """A line of a log: who wrote it, when (UTC; None: not said), how bad it is, and what else it tells by name."""

    source: str
    when: datetime | None
    level: str
    message: str
    fields: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON document, the time in ISO 8601."""
        return {
            "source": self.source,
            "time": self.when and self.when.isoformat(timespec="milliseconds"),
            "level": self.level,
            "message": self.message,
            "fields": self.fields,
        }


def parse(source: str, text: str, *, zone: tzinfo | None = None) -> Line | None:
    """Read a line as somebody wrote it.

    Args:
        source: who wrote it.
        text: JSON of a structured logger, a line that begins with its time, or anything.
        zone: of times that do not say theirs; None: this machine's.

    Returns:
        None for what a reader does without: metrics in the embedded metric format (CloudWatch makes metrics of
        them), the marks of where an invocation starts and ends, and empty lines.
    """
    text = text.rstrip()
    if not text or text.startswith(("START RequestId:", "END RequestId:")):
        return None
    if report := _REPORT.match(text):
        return Line(source, None, "DEBUG", " ".join(report["rest"].split()), {"request_id": report["id"]})
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return None if "_aws" in document else _structured(source, document, zone)
    if found := _TEXT.match(text):
        stamp = f"{found['day']}T{found['time']}.{(found['part'] or '0').ljust(6, '0')}{(found['zone'] or '').strip()}"
        level = {"WARN": "WARNING"}.get(found["level"] or "", found["level"] or "")
        return Line(source, _time(stamp, zone), level, found["message"])
    return Line(source, None, "", text)


def _structured(source: str, document: dict[str, Any], zone: tzinfo | None) -> Line:
    """Read what structlog and AWS's Powertools write; they name the message differently."""
    level = str(document.pop("level", "")).upper()
    when = _time(str(document.pop("timestamp", "")), zone)
    message = next((str(document.pop(name)) for name in ("message", "event") if name in document), "")
    fields = {
        name: value
        for name, value in document.items()
        if name not in _SAME_EVERYWHERE and not name.startswith("function_") and value not in ({}, "", None)
    }
    return Line(source, when, level, message, fields)


def _time(stamp: str, zone: tzinfo | None) -> datetime | None:
    try:
        when = datetime.fromisoformat(stamp.replace(",", "."))
    except ValueError:
        return None
    return (when if when.tzinfo or zone is None else when.replace(tzinfo=zone)).astimezone(UTC)


class _Source(Protocol):
    name: str

    def news(self) -> list[Line]:
        """Return what was written since the last call; at the first one, all that is to be shown."""


class _Function:
    """A function's log group in CloudWatch."""

    def __init__(self, client: Any, name: str, function: str, since: float) -> None:
        self.name = name
        self._client = client
        self._group = f"/aws/lambda/{function}"
        self._since = int(since * 1000)
        self._seen: dict[str, int] = {}

    def news(self) -> list[Line]:
        """Ask CloudWatch; what it knows later but is older by up to ten seconds is found, too."""
        try:
            events = [
                event
                for page in self._client.get_paginator("filter_log_events").paginate(
                    logGroupName=self._group, startTime=self._since
                )
                for event in page["events"]
                if _identity(event) not in self._seen
            ]
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] == _NO_GROUP:
                return []  # a function makes its group when it is first called
            return [Line(self.name, datetime.now(UTC), "ERROR", f"{self._group}: {error}")]
        events.sort(key=lambda event: int(event["timestamp"]))
        if events:
            self._seen |= {_identity(event): event["timestamp"] for event in events}
            self._since = max(self._since, events[-1]["timestamp"] - 10_000)
            self._seen = {one: at for one, at in self._seen.items() if at >= self._since}
        return [line for event in events if (line := self._line(event))]

    def _line(self, event: dict[str, Any]) -> Line | None:
        line = parse(self.name, event["message"], zone=UTC)
        if line is None or line.when:
            return line
        when = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
        return Line(line.source, when, line.level, line.message, line.fields)


def _identity(event: dict[str, Any]) -> str:
    # ministack 1.5.33 gives events no id.
    return str(event.get("eventId") or (event.get("logStreamName"), event["timestamp"], event["message"]))


class _ProcessLog:
    """The log of a process or container."""

    def __init__(self, process: Process) -> None:
        self.name = process.name
        self._process = process
        self._before: list[str] = []
        # ministack runs in UTC, the others by the machine's clock; containers have no zone but UTC.
        utc = process.name in ("ministack", "iot") or isinstance(process, Container)
        self._zone = UTC if utc else None

    def news(self) -> list[Line]:
        """Read the file's end, and leave out what was there before."""
        now = self._process.last_lines(_WINDOW)
        fresh, self._before = _after(self._before, now), now
        lines: list[Line] = []
        for text in fresh:
            line = parse(self.name, text, zone=self._zone)
            # The emulator repeats what functions write, which their own logs have.
            if line is None or "function_arn" in text or text.endswith(" output:"):
                continue
            if line.when is None and lines:  # a traceback's next line
                line = Line(line.source, lines[-1].when, line.level, line.message, line.fields)
            lines.append(line)
        return lines


def _after(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Return the lines of ``now`` that come after those of ``before``, of which the oldest may be gone."""
    for gone in range(len(before) + 1):
        kept = before[gone:]
        if list(now[: len(kept)]) == list(kept):
            return list(now[len(kept) :])
    return list(now)


def _functions(deployment: Deployment) -> dict[str, str]:
    """Return the functions that have logs, by the names that they go by here: two have short ones."""
    outputs = deployment.outputs
    short = {"telemetry": outputs.telemetry_function_name, "api": outputs.api_function_name}
    found = {name: function for name, function in short.items() if function}
    if deployment.engine_name:
        # What is in a local cloud is this deployment's; on AWS others' functions are beside it.
        pages = deployment.client("lambda").get_paginator("list_functions").paginate()
        names = sorted(function["FunctionName"] for page in pages for function in page["Functions"])
        found |= {name: name for name in names if name not in found.values()}
    return found


def _sources(deployment: Deployment, only: Sequence[str], minutes: float) -> list[_Source]:
    client, since = deployment.client("logs"), time.time() - 60 * minutes
    found: list[_Source] = [
        *(_Function(client, name, function, since) for name, function in _functions(deployment).items()),
        *map(_ProcessLog, deployment.processes.values()),
    ]
    if unknown := sorted(set(only) - {source.name for source in found}):
        raise TestbedError(
            f"There is no log of {', '.join(unknown)}.",
            f"There are: {', '.join(source.name for source in found)}.",
        )
    return [source for source in found if not only or source.name in only]


def newest(deployment: Deployment, *, only: Sequence[str] = (), minutes: float, lines: int) -> list[Line]:
    """Return the newest lines of every log, in the order of time.

    Args:
        deployment: whose.
        only: these sources; without any, all: ``telemetry`` and ``api``, and processes by their names.
        minutes: how far back in CloudWatch.
        lines: most lines of each log.

    Raises:
        TestbedError: there is no such source.
    """
    return _in_order(
        [line for source in _sources(deployment, only, minutes) for line in source.news()[-lines:]]
    )


def follow(
    deployment: Deployment,
    *,
    only: Sequence[str] = (),
    minutes: float,
    lines: int,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Line]:
    """Yield the newest lines of every log, and then each new one as it is written; for ever.

    Raises:
        TestbedError: there is no such source.
    """
    sources = _sources(deployment, only, minutes)
    yield from _in_order([line for source in sources for line in source.news()[-lines:]])
    while True:
        pause(_POLL_SECONDS)
        yield from _in_order([line for source in sources for line in source.news()])


def _in_order(lines: list[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: line.when or datetime.min.replace(tzinfo=UTC))
