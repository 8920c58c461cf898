"""Hold the policies of ``terraform/policies`` against what IAM was asked: no action may be granted that nobody needs.

Each action of each statement is taken away, and the recorded questions are asked again. If none is refused then, the
action is unused, and ``reasons.json`` must say why it is granted all the same. ``asked.json`` has what the rehearsals
asked with each stage's settings, actions alone: ``make test`` holds the policies against that.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from testbed.deploy.enforced_iam import as_list

_FOLDER = Path(__file__).parent
ASKED, REASONS = _FOLDER / "asked.json", _FOLDER / "reasons.json"

# The documents that each user of the rehearsal has.
DOCUMENTS = {"deployer": ("deploy", "options", "operate"), "planner": ("plan",)}

# What ministack 1.5.33 asks for, where AWS asks for the name on the left (Service Authorization Reference).
ALIASES: dict[str, tuple[str, ...]] = {
    "budgets:ModifyBudget": ("budgets:CreateBudget", "budgets:CreateNotification", "budgets:DeleteBudget"),
    "budgets:ViewBudget": (
        "budgets:DescribeBudget",
        "budgets:DescribeBudgets",
        "budgets:DescribeNotificationsForBudget",
        "budgets:DescribeSubscribersForNotification",
    ),
    "cloudfront:CreateDistribution": ("cloudfront:CreateDistributionWithTags",),
    "sqs:ChangeMessageVisibility": ("sqs:ChangeMessageVisibilityBatch",),
    "sqs:DeleteMessage": ("sqs:DeleteMessageBatch",),
    "sqs:SendMessage": ("sqs:SendMessageBatch",),
}
# What tests/e2e do beside the testbed's commands: the rehearsal grants it on top, and it is nobody's use.
TESTS_ALONE = (
    "dynamodb:DeleteItem",
    "dynamodb:PutItem",
    "iot:DeleteJob",
    "iot:DescribeJobExecution",
    "iot:DescribeThing",
    "iot:GetThingShadow",
    "iot:ListAttachedPolicies",
    "iot:ListThings",
    "iot:UpdateThingShadow",
)
_AWS_NAMES = {alias: name for name, aliases in ALIASES.items() for alias in aliases}

# ministack 1.5.33 asks for rule/default/<name>, for the bus, or for no resource, where AWS asks for rule/<name>.
EVENTS = "events:"

Document = dict[str, Any]


@dataclass(frozen=True, order=True)
class Question:
    """May this user do this to that? ``resource`` is ``*`` where ministack takes a call for one without any."""

    user: str
    action: str
    resource: str


def questions(path: Path) -> set[Question]:
    """Read what ``bridge/ministack/decisions.py`` wrote, in AWS's names of actions, without `TESTS_ALONE`."""
    found = set()
    for line in path.read_text().splitlines():
        asked = json.loads(line)
        user = asked["principal"].rpartition("/")[2]
        if asked["action"] not in TESTS_ALONE:
            resource = "*" if asked["action"].startswith(EVENTS) else asked["resource"]
            found.add(Question(user, _AWS_NAMES.get(asked["action"], asked["action"]), resource))
    return found


def actions(documents: Iterable[Document]) -> set[str]:
    """Return all actions that the documents grant."""
    return {
        action
        for document in documents
        for each in document["Statement"]
        for action in as_list(each["Action"])
    }


def unused(documents: Iterable[Document], asked: Iterable[Question], aside: Iterable[str] = ()) -> list[str]:
    """Return each action, as ``statement: action``, without which no question is answered otherwise.

    Those ``aside`` count as not granted: what they allow makes no other statement's grant needless.
    """
    without = set(aside)
    granted = [
        (f"{each['Sid']}: {action}", action, as_list(each["Resource"]))
        for document in documents
        for each in document["Statement"]
        for action in as_list(each["Action"])
        if f"{each['Sid']}: {action}" not in without
    ]
    needed = set()
    for question in asked:
        by = [
            label
            for label, action, resources in granted
            if fnmatchcase(question.action.lower(), action.lower())
            and (question.resource == "*" or any(fnmatchcase(question.resource, one) for one in resources))
        ]
        # Two that allow the same: either may be taken away. Asked without a resource, they cannot be told apart.
        if len(by) == 1 or question.resource == "*":
            needed.update(by)
    return sorted(label for label, _, _ in granted if label not in needed)


def unexplained(user: str, documents: Iterable[Document], asked: set[Question]) -> Iterator[str]:
    """Yield each unused action that no other stage's rehearsal asked for, and that has no reason."""
    now = {question for question in asked if question.user == user}
    known = set(reasons()) | (set(asked_before(user)) - {question.action for question in now})
    # A reason for one statement alone: another policy grants the same, and must stand by itself.
    for label in unused(documents, now, aside=(each for each in reasons() if ": " in each)):
        if known.isdisjoint({label, label.rpartition(": ")[2]}):
            yield label


def asked_before(user: str) -> list[str]:
    """Return the actions that rehearsals asked for as this user, by any stage's settings."""
    recorded = json.loads(ASKED.read_text())
    return sorted({action for stage in recorded.values() for action in stage.get(user, ())})


def reasons() -> dict[str, str]:
    """Return why an action is granted that no rehearsal asks for, by action or by ``statement: action``."""
    found: dict[str, str] = {}
    for reason, named in json.loads(REASONS.read_text()).items():
        found |= dict.fromkeys(named, reason)
    return found


def record(stage: str, asked: set[Question]) -> None:
    """Add a stage's actions to ``asked.json``: tests that ask for more are run at another time."""
    recorded = json.loads(ASKED.read_text()) if ASKED.exists() else {}
    before = recorded.get(stage, {})
    recorded[stage] = {
        user: sorted(
            {*before.get(user, ()), *(question.action for question in asked if question.user == user)}
        )
        for user in DOCUMENTS
    }
    ASKED.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n")
