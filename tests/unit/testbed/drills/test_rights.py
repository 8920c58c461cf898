"""No right without a use: the deployers' policies against what IAM was asked in the rehearsals (committed as names)."""

import re

import pytest

from testbed.deploy import account, policies
from testbed.drills.rehearsal import rights
from testbed.drills.rehearsal.rights import Question
from testbed.paths import TERRAFORM

FILLED = {"project": "battery-net", "account": "123456789012"}


def documents(user: str) -> list[rights.Document]:
    return [policies.render(name, **FILLED) for name in rights.DOCUMENTS[user]]


def grants(
    *resources: str, actions: tuple[str, ...] = ("sqs:CreateQueue", "sqs:DeleteQueue")
) -> rights.Document:
    return {"Statement": [{"Sid": "Queues", "Action": list(actions), "Resource": list(resources)}]}


@pytest.mark.parametrize("user", rights.DOCUMENTS)
def test_each_action_was_asked_for_in_a_rehearsal_or_has_a_reason(user: str) -> None:
    asked, reasons = set(rights.asked_before(user)), set(rights.reasons())
    assert rights.actions(documents(user)) - asked - reasons == set()


@pytest.mark.parametrize("user", rights.DOCUMENTS)
def test_each_action_that_a_rehearsal_asked_for_is_granted_by_its_name(user: str) -> None:
    """A wildcard would grant more than was asked for."""
    granted = rights.actions(documents(user))
    assert not [action for action in granted if "*" in action]
    assert set(rights.asked_before(user)) - granted == set()


def test_each_reason_is_for_an_action_that_somebody_is_granted_and_does_not_ask_for() -> None:
    wanting = {
        action
        for user in rights.DOCUMENTS
        for action in rights.actions(documents(user)) - set(rights.asked_before(user))
    }
    # A statement's own reason: the action is asked for, and another statement grants what is asked for.
    labels = {label for user in rights.DOCUMENTS for label in rights.unused(documents(user), ())}
    assert set(rights.reasons()) - wanting - labels == set()


def test_the_boundary_has_no_action_that_no_role_is_granted() -> None:
    """What a role itself may do, `make drills WHAT=iam` takes away action by action."""
    text = "".join(path.read_text() for path in TERRAFORM.glob("*.tf"))
    granted = set(re.findall(r'"(\w+:[A-Z]\w+)"', text)) | rights.actions([account.LOGS])
    assert rights.actions([policies.render("boundary", **FILLED)]) - granted == set()


def test_what_can_be_taken_away_without_a_refusal_is_unused() -> None:
    queue = "arn:aws:sqs:eu-central-1:123456789012:battery-net-dev"
    asked = [Question("deployer", "sqs:CreateQueue", queue)]
    assert rights.unused([grants("arn:aws:sqs:*:123456789012:battery-net-*")], asked) == [
        "Queues: sqs:DeleteQueue"
    ]
    # Another network's queues are no use for this one's.
    assert rights.unused([grants("arn:aws:sqs:*:123456789012:other-*")], asked) == [
        "Queues: sqs:CreateQueue",
        "Queues: sqs:DeleteQueue",
    ]
    # What is set aside makes no other statement's grant needless.
    assert rights.unused(
        [grants("*"), {"Statement": [{"Sid": "Other", "Action": "sqs:CreateQueue", "Resource": "*"}]}],
        asked,
        aside=["Other: sqs:CreateQueue"],
    ) == ["Queues: sqs:DeleteQueue"]
    # Of two statements that allow the same, each can be taken away.
    twice = [grants("*"), grants("*")]
    assert rights.unused(twice, asked) == ["Queues: sqs:CreateQueue"] * 2 + ["Queues: sqs:DeleteQueue"] * 2


def test_an_action_without_use_and_reason_is_told() -> None:
    wide = [*documents("deployer"), grants("*", actions=("sqs:PurgeQueue",))]
    assert "Queues: sqs:PurgeQueue" in list(rights.unexplained("deployer", wide, set()))
