"""A stand-in for DynamoDB's global tables: it copies items between the tables of two local deployments.

On AWS nothing of this runs: DynamoDB replicates (docs/regions.md). Here each region is an emulator of its own, and
none replicates to another process. As there, the last writer wins, item by item, and a region that cannot be reached
gets what it missed when it can. Who was last is told by `updated_at`, the handler's time of its write; an item without
it is written once. Nothing is kept on disk: killed and started again, it compares both tables anew.

Each table is read whole, so it is for thousands of items; it rests four times as long as it works.
"""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError
from testbed.say import Say

Item = dict[str, Any]
Key = tuple[str, ...]

_REST_SECONDS = 0.5
_REST_SHARE = 4
# A region that is lost must not hold up its way back.
_PATIENCE = {"connect_timeout": 2, "read_timeout": 5}
_ORDER = ("timestamp", "sequence", "message_id")
# How a line begins that tells of a state that the last writer set back.
WENT_BACK = "Went back:"


@dataclass(frozen=True)
class Side:
    """A table of one region."""

    client: Any
    table: str
    key: tuple[str, ...]

    def items(self) -> dict[Key, Item]:
        """Read all items."""
        pages = self.client.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
        return {self._key_of(item): item for page in pages for item in page["Items"]}

    def _key_of(self, item: Item) -> Key:
        return tuple(next(iter(item[name].values())) for name in self.key)

    def replace(self, old: Item | None, new: Item | None) -> bool:
        """Write ``new`` in place of ``old`` (None: no item), if the table still has that; return whether it had."""
        condition, names, values = _is_still(old, self.key)
        options: dict[str, Any] = {
            "TableName": self.table,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": names,
        }
        if values:
            options["ExpressionAttributeValues"] = values
        try:
            if new is not None:
                self.client.put_item(Item=new, **options)
            elif old is not None:
                self.client.delete_item(Key={name: old[name] for name in self.key}, **options)
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _is_still(item: Item | None, key: tuple[str, ...]) -> tuple[str, dict[str, str], Item]:
    """Write the condition that an item is unchanged."""
    if item is None:
        return "attribute_not_exists(#k)", {"#k": key[0]}, {}
    names = {f"#n{number}": name for number, name in enumerate(item)}
    values = {f":v{number}": value for number, value in enumerate(item.values())}
    return " AND ".join(f"#n{number} = :v{number}" for number in range(len(item))), names, values


@dataclass
class Replicator:
    """One table's two sides, and what both had when they were last the same."""

    one: Side
    other: Side
    say: Say = lambda _: None
    copied: int = 0
    _common: dict[Key, Item | None] = field(default_factory=dict)

    def step(self) -> int:
        """Make both sides the same as far as they stand still; return how many items were copied."""
        ours, theirs = self.one.items(), self.other.items()
        done = 0
        for key in ours.keys() | theirs.keys() | self._common.keys():
            mine, its, common = ours.get(key), theirs.get(key), self._common.get(key)
            if mine != its:
                mine_wins = its == common or (mine != common and _is_later(mine, its))
                side, old, new = (self.other, its, mine) if mine_wins else (self.one, mine, its)
                if not side.replace(old, new):
                    continue  # written meanwhile: the next step sees it
                done += 1
                self._tell(key, old, new)
                mine = new
            if mine is None:
                self._common.pop(key, None)
            else:
                self._common[key] = mine
        self.copied += done
        return done

    def _tell(self, key: Key, old: Item | None, new: Item | None) -> None:
        """Say where the last writer's state is the older one: docs/decisions/0019-two-regions.md."""
        if old and new and _order(old) > _order(new):
            self.say(f"{WENT_BACK} {self.one.table} {'/'.join(key)} from {_order(old)} to {_order(new)}")


def _is_later(one: Item | None, other: Item | None) -> bool:
    """Return whether ``one`` was written last; a deletion, which has no time, loses."""
    if one is None or other is None:
        return other is None
    return _written(one) >= _written(other)


def _written(item: Item) -> str:
    return str(item.get("updated_at", {}).get("S", ""))


def _order(item: Item) -> tuple[str, int, str]:
    timestamp, sequence, message = (item.get(name, {}) for name in _ORDER)
    return timestamp.get("S", ""), int(sequence.get("N", 0)), message.get("S", "")


def replicators(home: Deployment, standby: Deployment, say: Say) -> list[Replicator]:
    """Return one for each table that both deployments have.

    Raises:
        TestbedError: neither region answers.
    """
    clients = [each.client("dynamodb", **_PATIENCE) for each in (home, standby)]
    made = []
    for name in ("stations_table_name", "operations_table_name", "history_table_name"):
        tables = [getattr(each.outputs, name) for each in (home, standby)]
        if all(tables):
            key = _key(clients, tables)
            one, other = (Side(client, table, key) for client, table in zip(clients, tables, strict=True))
            made.append(Replicator(one, other, say))
    return made


def _key(clients: list[Any], tables: list[str]) -> tuple[str, ...]:
    """Return the names of a table's key, by the first region that answers."""
    for client, table in zip(clients, tables, strict=True):
        try:
            schema = client.describe_table(TableName=table)["Table"]["KeySchema"]
        except BotoCoreError:
            continue
        return tuple(part["AttributeName"] for part in schema)
    raise TestbedError("Neither region answers.", "Start them: make up")


def run(tables: list[Replicator], stop: threading.Event, say: Say) -> None:
    """Copy until ``stop``; what cannot be reached is tried again."""
    threads = [
        threading.Thread(target=_keep_copying, args=(table, stop, say), daemon=True) for table in tables
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _keep_copying(table: Replicator, stop: threading.Event, say: Say) -> None:
    reached = True
    while not stop.is_set():
        begun = time.monotonic()
        try:
            table.step()
        except (BotoCoreError, ClientError) as error:
            if reached:
                say(f"{table.one.table}: waiting for a region: {error}")
            reached = False
        else:
            if not reached:
                say(f"{table.one.table}: both regions answer, {table.copied} items copied so far")
            reached = True
        stop.wait(max(_REST_SECONDS, _REST_SHARE * (time.monotonic() - begun)))
