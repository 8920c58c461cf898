"""The dashboard for Grafana and the alerts for Prometheus ask for metrics that the bridge exports."""

import json
import re
from typing import Any

import pytest
import yaml

from bridge.registry import RuleDefinition
from bridge.runtime import metrics
from bridge.runtime.dispatcher import Dispatcher
from bridge.runtime.rules import Rule, RuleSet
from bridge.sql import compile_rule
from testbed.deploy import settings
from testbed.paths import REPOSITORY

FOLDER = REPOSITORY / "docker" / "metrics"
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}


def exported() -> dict[str, str]:
    """Names of the series as Prometheus stores them, and the metric that each belongs to."""
    return {
        each.name + suffix: each.name for each in metrics.registry.collect() for suffix in SUFFIXES[each.type]
    }


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / "bridge.json").read_text())["panels"]
    return found


def alerts() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def asked(query: str) -> set[str]:
    return set(re.findall(r"\bbridge_\w+", query))


def test_the_dashboard_asks_for_what_the_bridge_exports_and_for_all_of_it() -> None:
    queries = [target["expr"] for panel in panels() for target in panel["targets"]]
    names = set().union(*map(asked, queries))
    assert names <= exported().keys()
    assert {exported()[name] for name in names} == set(exported().values())


def test_the_alerts_ask_for_what_the_bridge_exports() -> None:
    names = set().union(*(asked(alert["expr"]) for alert in alerts()))
    assert len(names) > 3
    assert names <= exported().keys()


def test_prometheus_reads_the_bridges_default_port_and_the_alerts() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    [job] = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"127.0.0.1:{settings.METRICS_PORT}"]}]
    assert all((FOLDER / name).is_file() for name in config["rule_files"])
    used = {found for alert in alerts() for found in re.findall(r'job="(\w+)"', alert["expr"])}
    assert used == {job["job_name"]}


def test_no_two_panels_lie_on_each_other() -> None:
    cells = [
        (place["x"] + x, place["y"] + y)
        for place in (panel["gridPos"] for panel in panels())
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24  # the columns of Grafana's grid


@pytest.mark.parametrize(
    "name", ["bridge_fired_total", "bridge_error_actioned_total", "bridge_failed_without_error_action_total"]
)
def test_a_rules_failures_are_counted_from_zero(name: str) -> None:
    """Or the first one is no increase: a series that was not there before has none in Prometheus."""
    sql = "SELECT * FROM 'nobody'"
    rule = Rule(RuleDefinition("counted_from_zero", sql, "2016-03-23", (), None), compile_rule(sql), (), None)
    Dispatcher().use(RuleSet((rule,)))
    assert metrics.registry.get_sample_value(name, {"rule": "counted_from_zero"}) == 0
