"""The rehearsal goes through AWS with the settings of a stage, and as a deployer with the policy of the repository."""

import pytest

from testbed.drills.rehearsal import run
from testbed.errors import TestbedError


def test_a_stages_settings_are_those_of_its_file() -> None:
    assert run.settings_of("prod") == {
        "TF_VAR_log_retention_days": "90",
        "TF_VAR_monthly_budget_usd": "1500",
        "TF_VAR_enable_waf": "true",
        "TF_VAR_enable_xray": "true",
    }
    assert run.settings_of("dev")["TF_VAR_monthly_budget_usd"] == "50"
    with pytest.raises(TestbedError, match=r"There is no staging\.tfvars"):
        run.settings_of("staging")


def test_what_the_shell_sets_is_rehearsed_beside_the_stages_settings() -> None:
    shell = {"TF_VAR_ingest": "kinesis", "TF_DATA_DIR": "/elsewhere", "HOME": "/home/me"}
    assert run.chosen_beside(shell) == {"TF_VAR_ingest": "kinesis"}


def test_the_stand_ins_deployer_has_the_policy_but_for_keys_that_the_stand_in_does_not_know() -> None:
    for statement in run.user_policy("deployer")["Statement"]:
        for keys in statement.get("Condition", {}).values():
            assert run._UNKNOWN_KEYS.isdisjoint(keys)
