"""The shortest part of `make rehearse`: the stand-in for AWS is there, and knows whom it may let in."""

import shutil
from pathlib import Path

from testbed.drills.rehearsal import rights
from testbed.drills.rehearsal import run as rehearsal
from testbed.drills.rehearsal.rights import Question
from testbed.engines import embedded
from testbed.paths import state_root


def test_a_user_without_rights_gets_nowhere(tmp_path: Path) -> None:
    try:
        with rehearsal.stand_in(tmp_path) as aws:
            aws.testbed("leftovers")
            aws.testbed("plan", fails="not authorized", **aws.stranger)
            asked = rights.questions(embedded.questions_file(aws.place))
        # What IAM was asked is on record, of those who were refused, too; a simulation is nobody's call.
        assert {question.user for question in asked} == {"deployer", "stranger"}
        assert Question("deployer", "s3:ListAllMyBuckets", "*") in asked
        assert "iam:PassRole" not in {question.action for question in asked}
    finally:
        for folder in (state_root() / "deployments").glob(f"aws-*-{rehearsal.ENVIRONMENT}"):
            shutil.rmtree(folder)
