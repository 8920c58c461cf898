"""The API's paths. So few do not need a framework: Powertools' resolver adds 190 ms to its Logger's 100."""

import functools
import json
import re
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from api_handler.access import require_authorizer, require_operate
from api_handler.commands import Commands
from api_handler.headers import common
from api_handler.history import History
from api_handler.jobs import Jobs
from api_handler.paging import from_token, to_token
from api_handler.problems import Problem, bad_parameter, internal_error, method_not_allowed, not_found
from api_handler.realtime import Realtime
from api_handler.requests import Request
from api_handler.settings import Settings
from api_handler.stations import Stations
from api_handler.summary import Summary

READING = ("GET", "HEAD", "OPTIONS")
MOST_BATTERIES = 10_000
MOST_POINTS = 1500  # a day of minutes
MOST_CONNECTIONS = 100

_STATION = re.compile(
    r"/stations/([A-Za-z0-9:_-]{1,128})(?:/(history|connections|settings|commands)|/commands/([A-Za-z0-9_-]{1,64}))?",
    re.ASCII,
)


class Services(msgspec.Struct, frozen=True):
    """What the routes use. ``realtime`` is None where pages cannot connect: on local engines."""

    stations: Stations
    history: History
    summary: Summary
    settings: Settings
    commands: Commands
    jobs: Jobs
    realtime: Realtime | None = None


class Answer(msgspec.Struct, frozen=True):
    """A status, and a JSON document or nothing."""

    status: HTTPStatus
    document: Any = None
    headers: dict[str, str] = {}


def respond(event: Any, context: Any, services: Services, failed: Callable[[], None]) -> dict[str, Any]:
    """Answer ``event`` in the proxy integration's form. Never raises: ``failed`` is called in an except.

    Returns:
        ``{"statusCode", "headers", "body", "isBase64Encoded"}``.
    """
    request = Request("GET", "/", {}, getattr(context, "aws_request_id", "unknown"))
    try:
        request = Request.of(event, context)
        require_authorizer(event)
        answer = _route(request, services, event)
    except Problem as problem:
        answer = _problem(problem, request)
    except Exception:
        failed()
        answer = _problem(internal_error(), request)
    return _proxied(answer, request)


def _route(request: Request, services: Services, event: Any) -> Answer:
    read, changes = _find(request, services)
    allow = ", ".join((*READING, *changes))
    if request.method == "OPTIONS":
        return Answer(HTTPStatus.NO_CONTENT, headers={"Allow": allow})
    if request.method in READING:
        return Answer(HTTPStatus.OK, read())
    if request.method not in changes:
        raise method_not_allowed(request.method, allow)
    require_operate(event)
    return Answer(HTTPStatus.ACCEPTED, changes[request.method]())


def _find(request: Request, services: Services) -> tuple[Callable[[], Any], dict[str, Callable[[], Any]]]:
    """Return what reads the path, and what changes it, by method."""
    plain: dict[str, Callable[[], Any]] = {
        "/": _index,
        "/openapi.json": _description,
        "/jobs": functools.partial(_jobs, request, services.jobs),
        "/realtime": functools.partial(_realtime, request, services.realtime),
        "/stations": functools.partial(_list, request, services.stations),
        "/summary": functools.partial(_summary, request, services.summary),
    }
    if action := plain.get(request.path):
        return action, {}
    if named := _STATION.fullmatch(request.path):
        return _of_station(named[1], named[2], named[3], request, services)
    raise not_found("There is nothing here; / lists what there is.")


def _of_station(
    station_id: str, part: str | None, command_id: str | None, request: Request, services: Services
) -> tuple[Callable[[], Any], dict[str, Callable[[], Any]]]:
    if command_id:
        return functools.partial(_command, station_id, command_id, request, services), {}
    if part is None:
        return functools.partial(_get, station_id, services.stations), {}
    reads: dict[str, Callable[..., Any]] = {
        "history": _history,
        "connections": _connections,
        "settings": _settings,
        "commands": _commands,
    }
    changes: dict[str, dict[str, Callable[[], Any]]] = {
        "settings": {"PATCH": functools.partial(services.settings.change, station_id, request)},
        "commands": {"POST": functools.partial(_send, station_id, request, services)},
    }
    return functools.partial(reads[part], station_id, request, services), changes.get(part, {})


def _index() -> dict[str, Any]:
    return {
        "name": "EV battery-swap stations",
        "links": {
            "stations": "/stations",
            "summary": "/summary",
            "jobs": "/jobs",
            "realtime": "/realtime",
            "description": "/openapi.json",
        },
    }


@functools.cache
def _description() -> Any:
    return json.loads(Path(__file__).with_name("openapi.json").read_text())


def _summary(request: Request, summary: Summary) -> dict[str, Any]:
    request.allow_only()
    return summary.take()


def _jobs(request: Request, jobs: Jobs) -> dict[str, Any]:
    request.allow_only()
    return jobs.newest()


def _realtime(request: Request, realtime: Realtime | None) -> dict[str, Any]:
    request.allow_only()
    if realtime is None:
        raise not_found(
            "Telemetry by WebSocket is not configured here; a local page's server offers its own."
        )
    return realtime.offer()


def _list(request: Request, stations: Stations) -> dict[str, Any]:
    request.allow_only("limit", "min_batteries", "next_token")
    limit = request.integer("limit", 50, 1, 100)
    min_batteries = request.integer("min_batteries", 0, 0, MOST_BATTERIES)
    after = _place(request, "stations")
    found, end = stations.page(limit, after, min_batteries)
    return {
        "stations": found,
        "count": len(found),
        "next_token": None if end is None else to_token(end),
    }


def _get(station_id: str, stations: Stations) -> dict[str, Any]:
    station = stations.get(station_id)
    if station is None:
        raise not_found("No station of this name has sent telemetry.")
    return station


def _history(station_id: str, request: Request, services: Services) -> dict[str, Any]:
    request.allow_only("from", "to", "limit", "next_token")
    since, until = request.moment("from"), request.moment("to")
    if since and until and since > until:
        raise bad_parameter("from", "must not be after to")
    limit = request.integer("limit", 100, 1, MOST_POINTS)
    after = _place(request, "history")
    points, end = services.history.page(
        station_id, since, until, None if after is None else int(after), limit
    )
    if not points:
        _get(station_id, services.stations)
    return {
        "station_id": station_id,
        "resolution_seconds": services.history.window.resolution,
        "window_hours": services.history.window.hours,
        "points": points,
        "count": len(points),
        "next_token": None if end is None else to_token(str(end), "history"),
    }


def _connections(station_id: str, request: Request, services: Services) -> dict[str, Any]:
    request.allow_only("limit")
    limit = request.integer("limit", 20, 1, MOST_CONNECTIONS)
    _get(station_id, services.stations)
    return {
        "station_id": station_id,
        "window_hours": services.history.window.hours,
        "connections": services.history.connections(station_id, limit),
    }


def _settings(station_id: str, request: Request, services: Services) -> dict[str, Any]:
    request.allow_only()
    return services.settings.get(station_id)


def _send(station_id: str, request: Request, services: Services) -> dict[str, Any]:
    _get(station_id, services.stations)
    return services.commands.send(station_id, request)


def _command(station_id: str, command_id: str, request: Request, services: Services) -> dict[str, Any]:
    request.allow_only()
    return services.commands.get(station_id, command_id)


def _commands(station_id: str, request: Request, services: Services) -> dict[str, Any]:
    request.allow_only()
    _get(station_id, services.stations)
    return services.commands.newest(station_id)


def _place(request: Request, listing: str) -> str | None:
    token = request.text("next_token")
    try:
        return None if token is None else from_token(token, listing)
    except ValueError as error:
        raise bad_parameter("next_token", "use the one that the previous page gave") from error


def _problem(problem: Problem, request: Request) -> Answer:
    headers = {**problem.headers, "Content-Type": "application/problem+json"}
    return Answer(problem.status, problem.as_dict(quote(request.path), request.request_id), headers)


def _proxied(answer: Answer, request: Request) -> dict[str, Any]:
    headers = common(request.request_id)
    if answer.document is not None:
        headers["Content-Type"] = "application/json"
    body = "" if answer.document is None or request.method == "HEAD" else json.dumps(answer.document)
    return {
        "statusCode": answer.status.value,
        "headers": headers | answer.headers,
        "body": body,
        "isBase64Encoded": False,
    }
