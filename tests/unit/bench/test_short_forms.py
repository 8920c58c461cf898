"""Every benchmark and every drill has a form of a few seconds in the default suite, so that none rots unseen."""

import re

import pytest
from typer.testing import CliRunner

from bench.cli import app
from testbed.paths import REPOSITORY

BENCHMARKS = {
    "pipeline": "tests/e2e/test_bench.py::test_the_pipeline_and_the_other_path_store_what_is_sent",
    "growth": "tests/e2e/test_bench.py::test_growth_counts_what_a_fleet_sent",
    "connects": "tests/e2e/test_bench.py::test_connects_are_weighed_against_bare_handshakes",
    "bridge": "tests/e2e/test_bench.py::test_the_bridge_carries_every_message_to_the_queue",
    "calls": "tests/e2e/test_cost.py::test_the_handler_calls_what_is_priced",
    "enrolment": "tests/integration/bench/test_enrolment_bench.py::test_a_fleet_is_enrolled_found_and_removed",
    "fleet": "tests/integration/bench/test_fleet_bench.py::test_all_scenarios_give_figures",
    "open-mqtt": "tests/integration/bench/test_fleet_bench.py::test_all_scenarios_give_figures",
    "plots": "tests/integration/bench/test_plots_drawn.py::test_drawn_again_the_plots_are_the_same",
    "audit": "tests/unit/bench/test_audit_memory.py::test_what_was_left_out_of_the_archive_is_found",
    "rule-sql": "tests/unit/bench/test_rule_sql_bench.py::test_every_rule_has_a_rate",
    "rule-sql-cases": "tests/unit/bridge/sql/test_conformance.py::test_the_file_is_as_the_command_writes_it",
    "rule-sql-peers": "tests/unit/bench/test_rule_sql_bench.py::test_both_engines_are_asked_every_case",
}

DRILLS = {
    "faults": "tests/faults/test_faults.py::test_nothing_is_lost_while_parts_die",
    "parity": "tests/faults/test_parity.py::test_what_is_up_answers_as_its_record",
    "clients": "tests/integration/bridge/test_clients.py::test_each_client_is_at_home",
    "rehearsal": "tests/integration/drills/test_rehearsal.py::test_a_user_without_rights_gets_nowhere",
    "bridge-faults": "tests/integration/bridge/test_faults.py::test_a_killed_bridge_loses_nothing",
    "iam": "tests/e2e/test_least_privilege.py::test_whichever_action_is_taken_away_something_stops_working",
    "protections": "tests/unit/test_protections.py::test_a_protection_is_there_and_has_a_test",
    "tutorial": "tests/e2e/test_tutorial.py::test_the_tutorial_runs_as_printed",
    "region-lost": "tests/integration/simulator/test_two_regions.py::test_a_fleet_leaves_a_lost_region_and_comes_home",
    "terraform": "tests/integration/terraform/test_configuration.py::test_terraform_test",
}


def test_every_benchmark_has_a_short_form() -> None:
    assert {command.name for command in app.registered_commands} == set(BENCHMARKS)


def test_every_drill_has_a_short_form() -> None:
    named = re.findall(r"^([a-z-]+)\)", (REPOSITORY / "scripts" / "drills").read_text(), re.MULTILINE)
    assert {*named, "rehearsal"} == set(DRILLS)


@pytest.mark.parametrize("test", sorted({*BENCHMARKS.values(), *DRILLS.values()}))
def test_the_short_form_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}(" in (REPOSITORY / file).read_text()


@pytest.mark.parametrize("what", sorted(BENCHMARKS))
def test_a_benchmark_says_what_it_takes(what: str) -> None:
    said = CliRunner().invoke(app, [what, "--help"])
    assert said.exit_code == 0
    assert "Usage:" in said.output
