"""Commands to stations: published to a station's topic, kept with their answers in the operations table."""

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Literal
from uuid import uuid4

import msgspec
from botocore.config import Config

from api_handler.operations import Operations
from api_handler.problems import Problem, not_found
from api_handler.requests import Request

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_MOST_SLOTS, _LONGEST_SECONDS = 10_000, 3600
# How long commands and their answers are kept: terraform/iot.tf says the same of the answers.
_KEPT = timedelta(days=90)
_MOST_SHOWN = 10
_CONFIG = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 2},
    tcp_keepalive=True,
)
# The shortest that STS gives, and how long before its end a new one is asked for.
_SESSION_SECONDS, _MARGIN_SECONDS = 900, 60


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a POST. The same ``command_id`` again is the same command again."""

    command: Literal["restart", "identify", "unlock_slot"]
    slot: int | None = None
    command_id: str | None = None
    timeout_seconds: int = 30

    def fault(self) -> str | None:
        """Say what is wrong with it beside its types, or None."""
        if (self.slot is not None) != (self.command == "unlock_slot"):
            return "slot: wanted with unlock_slot, and with nothing else"
        if self.slot is not None and not 1 <= self.slot <= _MOST_SLOTS:
            return f"slot: must be from 1 to {_MOST_SLOTS}"
        if self.command_id is not None and not _ID.fullmatch(self.command_id):
            return "command_id: 1 to 64 letters, digits, underscores and hyphens"
        if not 1 <= self.timeout_seconds <= _LONGEST_SECONDS:
            return f"timeout_seconds: must be from 1 to {_LONGEST_SECONDS}"
        return None


class Publisher:
    """iot-data under a role of its own.

    The function's role signs the URLs that pages listen by, and who has such a URL may do over MQTT whatever that role
    may: it must not publish. ``session`` is botocore's.
    """

    def __init__(self, session: Any, role_arn: str) -> None:
        self._session, self._role_arn = session, role_arn
        self._client: Any = None
        self._good_until = 0.0

    def __call__(self) -> Any:
        """Return a client whose credentials are good for a minute at least."""
        if time.time() > self._good_until:
            sts = self._session.create_client("sts", config=_CONFIG)
            given = sts.assume_role(
                RoleArn=self._role_arn, RoleSessionName="commands", DurationSeconds=_SESSION_SECONDS
            )["Credentials"]
            self._client = self._session.create_client(
                "iot-data",
                config=_CONFIG,
                aws_access_key_id=given["AccessKeyId"],
                aws_secret_access_key=given["SecretAccessKey"],
                aws_session_token=given["SessionToken"],
            )
            self._good_until = time.time() + _SESSION_SECONDS - _MARGIN_SECONDS
        return self._client


class Commands:
    """Sends commands. ``client`` gives iot-data."""

    def __init__(
        self,
        client: Callable[[], Any],
        operations: Operations,
        topic_root: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Keep what is needed; a station's topic is ``<topic root>/<station id>/commands``."""
        self._client, self._operations, self._topic_root, self._now = client, operations, topic_root, now

    def send(self, station_id: str, request: Request) -> dict[str, Any]:
        """Write a command down, and publish it; again if it was sent before, has no answer, and is in its time.

        Raises:
            Problem: 400 or 422, the body is no command; 409, another command has this id.
        """
        wanted = request.document(Wanted, "command")
        if why := wanted.fault():
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, why)
        command_id = wanted.command_id or uuid4().hex
        at = self._now()
        said: dict[str, str | int] = {
            "at": _text(at),
            "by": request.caller,
            "command": wanted.command,
            "answer_by": _text(at + timedelta(seconds=wanted.timeout_seconds)),
            "expires_at": int((at + _KEPT).timestamp()),
            **({} if wanted.slot is None else {"slot": wanted.slot}),
        }
        if not self._operations.add(station_id, f"command#{command_id}", **said):
            known = self._operations.get(station_id, f"command#{command_id}") or said
            if (known["command"], known.get("slot")) != (wanted.command, wanted.slot):
                raise Problem(HTTPStatus.CONFLICT, "Another command has this command_id.")
            said = known
        shown = self._shown(station_id, command_id, said)
        if shown["state"] == "sent":
            message = {"command_id": command_id, "command": said["command"], "expires_at": said["answer_by"]}
            slot = {"slot": said["slot"]} if "slot" in said else {}
            self._client().publish(
                topic=f"{self._topic_root}/{station_id}/commands",
                qos=1,
                payload=msgspec.json.encode(message | slot),
            )
        return shown

    def get(self, station_id: str, command_id: str) -> dict[str, Any]:
        """Say how a command stands.

        Raises:
            Problem: 404.
        """
        said = self._operations.get(station_id, f"command#{command_id}")
        if said is None:
            raise not_found("No command of this id was sent to this station.")
        return self._shown(station_id, command_id, said)

    def newest(self, station_id: str) -> dict[str, Any]:
        """Show the last commands of a station, newest first; their answers are asked for one by one."""
        found = sorted(self._operations.newest(station_id, "command"), key=lambda item: item["at"])
        shown = [
            self._shown(station_id, item["operation"].removeprefix("command#"), item)
            for item in found[: -_MOST_SHOWN - 1 : -1]
        ]
        return {"station_id": station_id, "commands": shown}

    def _shown(self, station_id: str, command_id: str, said: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._operations.get(station_id, f"answer#{command_id}")
        slot = {"slot": said["slot"]} if "slot" in said else {}
        shown = {
            "station_id": station_id,
            "command_id": command_id,
            "command": said["command"],
            **slot,
            "at": said["at"],
            "by": said["by"],
            "answer_by": said["answer_by"],
        }
        if answer:
            state = "succeeded" if answer.get("outcome") == "succeeded" else "failed"
            told = {"detail": answer.get("detail", ""), "answered_at": answer.get("answered_at", "")}
            return shown | {"state": state} | told
        return shown | {"state": "timed_out" if said["answer_by"] < _text(self._now()) else "sent"}


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
