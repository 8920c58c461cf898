"""An apply says how far it is."""

import pytest

from testbed.deploy.progress import Progress

# As Terraform 1.11 prints it.
PLAN = "Plan: 8 to add, 0 to change, 0 to destroy.\n"
LINES = [
    "aws_sqs_queue.telemetry: Creating...\n",
    *(f"aws_iam_role.role[{number}]: Creation complete after 1s [id=role-{number}]\n" for number in range(8)),
    "data.aws_region.current: Read complete after 0s [id=eu-central-1]\n",
]


def test_in_a_pipe_a_line_is_said_for_each_quarter() -> None:
    said: list[str] = []
    progress = Progress(said.append, terminal=False)
    for line in (PLAN, *LINES):
        progress.read(line)
    assert said == [f"Terraform: {done} of 8 resources" for done in (0, 2, 4, 6, 8)]


def test_on_a_terminal_one_line_is_written_again_and_again(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(pytest.fail, terminal=True)
    for line in (PLAN, *LINES):
        progress.read(line)
    progress.end()
    shown = capsys.readouterr().out
    assert "\n" not in shown
    assert "Terraform: 5 of 8 resources" in shown
    assert shown.endswith("\r\033[K")


@pytest.mark.parametrize(
    "plan",
    ["Plan: 1 to import, 1 to add, 0 to change, 0 to destroy.", "Plan: 0 to add, 1 to change, 0 to destroy."],
)
def test_whatever_is_done_counts(plan: str) -> None:
    said: list[str] = []
    progress = Progress(said.append, terminal=False)
    progress.read(plan)
    progress.read("aws_lambda_function.api_handler: Modifications complete after 2s [id=api]")
    assert said[-1] == "Terraform: 1 of 1 resources"


def test_where_nothing_is_planned_nothing_is_said() -> None:
    progress = Progress(pytest.fail, terminal=False)
    progress.read("No changes. Your infrastructure matches the configuration.")
    progress.end()
