"""What bridge/ministack/tables.py makes cheaper answers as ministack alone does, for random updates of a table."""

import subprocess

from testbed.engines.embedded import ministack_environment
from testbed.host import processes
from testbed.paths import REPOSITORY

_SEED = 20261125
_CALLS = """
import json, random, sys
from ministack.services import dynamodb

whose, seed = sys.argv[1], int(sys.argv[2])
if whose == "ours":
    sys.path.insert(0, sys.argv[3])
    import tables
    tables.patch()

chance = random.Random(seed)
NAMES = {"#a": "a", "#b": "b", "#l": "l", "#m": "m"}
UPDATES = (
    "SET #a = :n, #b = if_not_exists(#b, :s)", "SET #b = #a, #a = :n REMOVE #m", "ADD #a :n", "REMOVE #b, #l[0]",
    "SET #l = list_append(if_not_exists(#l, :l), :l)", "SET #m = :m", "SET #m.x = :n, #m.l[1] = :s", "SET #a = #a + :n",
    "SET #a = :s, #b = :s, #m = :m", "set #a = :n remove #b add #c :n", "SET #a := :n", "SET select = :n", "PUT #a", "",
)
CONDITIONS = (
    None, "attribute_not_exists(#a) OR #a < :n OR (#a = :n AND #b < :s)", "attribute_exists(station_id)", "#a <> :n",
    "size(#l) > :n", "contains(#l, :s)", "#a BETWEEN :n AND :n", "((#a = :n))", "#a = ", "#a IN (:n, :s)",
    "NOT #a = :n",
)
# Around DynamoDB's 400 KB: what is counted there, and the item that must not be longer.
LENGTHS = (1, 5, 2_000, 101_000, 136_000, 204_000, 409_000, 410_000)


def update(number):
    values = {
        ":n": {"N": str(chance.randint(-3, 9))},
        ":s": {"S": "x" * chance.choice(LENGTHS[: chance.choice((2, 3, 8))])},
        ":l": {"L": [{"S": "one"}, {"N": "2"}]},
        ":m": {"M": {"x": {"N": "1"}, "l": {"L": [{"S": "y"}, {"B": "AAEC"}]}}},
    }
    text, condition = chance.choice(UPDATES), chance.choice(CONDITIONS)
    said = text + (condition or "")
    call = {
        "TableName": "stations", "Key": {"station_id": {"S": f"s{number % 7}"}}, "UpdateExpression": text,
        "ExpressionAttributeNames": {k: v for k, v in NAMES.items() if k in said},
        "ExpressionAttributeValues": {k: v for k, v in values.items() if k in said},
        "ReturnValues": chance.choice(("NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW")),
    }
    if condition:
        call["ConditionExpression"] = condition
        call["ReturnValuesOnConditionCheckFailure"] = chance.choice(("NONE", "ALL_OLD"))
    return {k: v for k, v in call.items() if v}


dynamodb._create_table({
    "TableName": "stations", "BillingMode": "PAY_PER_REQUEST",
    "KeySchema": [{"AttributeName": "station_id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "station_id", "AttributeType": "S"}],
})
for number in range(700):
    status, _, body = dynamodb._update_item(json.loads(json.dumps(update(number))))
    print(status, body.decode())
"""


def _answers(whose: str) -> list[str]:
    return subprocess.run(
        [
            str(ministack_environment() / "bin" / "python"),
            "-c",
            _CALLS,
            whose,
            str(_SEED),
            str(REPOSITORY / "bridge" / "ministack"),
        ],
        check=True,
        capture_output=True,
        text=True,
        env=processes.clean_environment(PYTHONHASHSEED="0"),  # which orders what changed
    ).stdout.splitlines()


def test_every_update_has_the_answer_that_ministack_alone_gives() -> None:
    print(f"seed {_SEED}")
    ours, alone = _answers("ours"), _answers("alone")
    # The calls are of every kind: done, refused by the condition, by the size, and by the grammar.
    for kind in (
        "200 ",
        "ConditionalCheckFailed",
        "maximum allowed size",
        "Syntax error",
        "reserved keyword",
    ):
        assert any(kind in answer for answer in alone), kind
    assert ours == alone
