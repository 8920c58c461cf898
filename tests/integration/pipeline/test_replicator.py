"""The stand-in for global tables, between two tables of a real emulator."""

from collections.abc import Iterator
from typing import Any

import pytest

from testbed.pipeline.replicator import WENT_BACK, Replicator, Side
from tests.integration.conftest import AwsEmulator

KEY = ("station_id",)
TABLES = ("replicated-one", "replicated-other")


@pytest.fixture
def sides(aws_emulator: AwsEmulator) -> Iterator[tuple[Side, Side]]:
    client = aws_emulator.client("dynamodb")
    for table in TABLES:
        client.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "station_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "station_id", "KeyType": "HASH"}],
        )
    yield Side(client, TABLES[0], KEY), Side(client, TABLES[1], KEY)
    for table in TABLES:
        client.delete_table(TableName=table)


def state(station: str, sequence: int, written: int) -> dict[str, Any]:
    return {
        "station_id": {"S": station},
        "sequence": {"N": str(sequence)},
        "timestamp": {"S": f"2026-03-02T08:00:{sequence:02d}.000000Z"},
        "message_id": {"S": f"{station}-run-{sequence}"},
        "updated_at": {"S": f"2026-03-02T08:01:{written:02d}.000000Z"},
    }


def put(side: Side, item: dict[str, Any]) -> None:
    side.client.put_item(TableName=side.table, Item=item)


def both(sides: tuple[Side, Side]) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return what both sides have, which must be the same."""
    one, other = (side.items() for side in sides)
    assert one == other
    return one


def test_what_one_side_writes_the_other_gets(sides: tuple[Side, Side]) -> None:
    replicator = Replicator(*sides)
    put(sides[0], state("a", 1, 1))
    put(sides[1], state("b", 1, 1))
    assert replicator.step() == 2
    assert both(sides).keys() == {("a",), ("b",)}
    put(sides[1], state("a", 2, 2))
    replicator.step()
    assert both(sides)["a",] == state("a", 2, 2)
    assert replicator.step() == 0
    sides[0].client.delete_item(TableName=TABLES[0], Key={"station_id": {"S": "b"}})
    replicator.step()
    assert both(sides).keys() == {("a",)}


def test_of_two_writes_the_last_wins_even_if_it_says_less(sides: tuple[Side, Side]) -> None:
    """Global tables do so (DynamoDB developer guide, "Global tables core concepts"); it is told."""
    said: list[str] = []
    replicator = Replicator(*sides, say=said.append)
    put(sides[0], state("a", 10, 30))
    put(sides[1], state("a", 12, 20))
    replicator.step()
    assert both(sides)["a",] == state("a", 10, 30)
    assert [line.startswith(WENT_BACK) for line in said] == [True]


def test_one_that_was_killed_compares_anew(sides: tuple[Side, Side]) -> None:
    """A region that was away gets what it missed, whoever copies then."""
    put(sides[0], state("a", 1, 1))
    put(sides[0], state("b", 1, 1))
    Replicator(*sides).step()
    put(sides[1], state("a", 2, 2))
    put(sides[1], state("c", 1, 2))
    Replicator(*sides).step()
    assert both(sides) == {
        ("a",): state("a", 2, 2),
        ("b",): state("b", 1, 1),
        ("c",): state("c", 1, 2),
    }


def test_a_write_meanwhile_is_not_overwritten(sides: tuple[Side, Side]) -> None:
    """What was read is old by the time of the copy: the write stays, and the next step goes by it."""
    put(sides[0], state("a", 1, 1))
    put(sides[1], state("a", 3, 3))
    assert not sides[1].replace(state("a", 2, 2), state("a", 1, 1))
    assert not sides[1].replace(None, state("a", 1, 1))
    assert sides[1].items()["a",] == state("a", 3, 3)
