"""The policies of who deploys: IAM documents of ``terraform/policies``, filled in for an account and a project.

``deploy`` is what the deployer may do, ``plan`` what the planner may, ``boundary`` what no role of the project may ever
exceed, and ``trust-deploy`` and ``trust-plan`` who may take the two roles: jobs of one repository's environments.
"""

import json
from string import Template
from typing import Any

from testbed.errors import TestbedError
from testbed.paths import TERRAFORM

FOLDER = TERRAFORM / "policies"

# IAM's limit of a managed policy, in characters without white space (IAM user guide, "IAM and AWS STS quotas").
MOST_CHARACTERS = 6144


def names() -> list[str]:
    """Return the documents' names."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def render(name: str, *, project: str, account: str, repository: str = "") -> dict[str, Any]:
    """Fill in a document.

    Args:
        name: one of `names`.
        project: first word of every resource's name.
        account: twelve digits.
        repository: ``owner/name`` at GitHub; for the two trust policies.

    Raises:
        TestbedError: there is no such document, or it wants a repository.
    """
    if name not in names():
        raise TestbedError(f"There is no policy {name}.", f"There are: {', '.join(names())}.")
    if name.startswith("trust-") and "/" not in repository:
        raise TestbedError(f"{name} is for one repository.", "Say which: --repository owner/name")
    text = Template((FOLDER / f"{name}.json").read_text())
    document: dict[str, Any] = json.loads(
        text.substitute(project=project, account=account, repository=repository)
    )
    return document


def boundary_arn(project: str, account: str) -> str:
    """Return the ARN that the boundary has, where somebody has made it."""
    return f"arn:aws:iam::{account}:policy/{project}-boundary"
