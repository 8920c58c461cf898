"""A hint names the deployment that the command was about."""

import pytest

from testbed.cli.console import with_settings


@pytest.mark.parametrize(
    ("hint", "environment", "said"),
    [
        ("Start it: make up", {}, "Start it: make up"),
        ("Start it: make up", {"DEPLOYMENT": "a3"}, "Start it: make up DEPLOYMENT=a3"),
        ("See `make logs`.", {"DEPLOYMENT": "a3"}, "See `make logs DEPLOYMENT=a3`."),
        (
            "First: make down, make up",
            {"DEPLOYMENT": "a3"},
            "First: make down DEPLOYMENT=a3, make up DEPLOYMENT=a3",
        ),
        ("make up AWS_PORT=5566", {"AWS_PORT": "4566"}, "make up AWS_PORT=5566"),
        ("Start it: make up", {"AWS_PORT": "5566"}, "Start it: make up AWS_PORT=5566"),
        ("make status", {"AWS_PORT": "5566"}, "make status"),
        ("On AWS: make up TARGET=aws.", {"DEPLOYMENT": "a3"}, "On AWS: make up TARGET=aws."),
        ("make audit", {"TARGET": "aws", "PROJECT": "mine"}, "make audit TARGET=aws PROJECT=mine"),
        ("scripts/testbed redrive", {"DEPLOYMENT": "a3"}, "DEPLOYMENT=a3 scripts/testbed redrive"),
        ("TARGET=aws scripts/testbed leftovers", {"ENGINE": "x"}, "TARGET=aws scripts/testbed leftovers"),
        ("stations make noise", {"DEPLOYMENT": "a3"}, "stations make noise"),
    ],
)
def test_a_hint_repeats_the_settings_that_were_given(
    hint: str, environment: dict[str, str], said: str
) -> None:
    assert with_settings(hint, environment) == said
