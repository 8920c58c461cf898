"""What `make up` asks the bridge."""

import json
from collections.abc import Iterator

import pytest

from bridge.pages import Answer, serve
from testbed.engines.bridge import refused_rules


@pytest.fixture
def metrics() -> Iterator[int]:
    """Serve the health page of a bridge that looks at a rule more at each look."""
    looks = iter([([], {}), (["good"], {}), (["good"], {"bad": "unexpected 'FORM'", "old": "gone by now"})])
    last = None

    def health(_body: bytes) -> Answer:
        nonlocal last
        last = next(looks, last)
        assert last is not None
        return Answer(200, json.dumps({"connected": True, "rules": last[0], "refused": last[1]}).encode())

    server = serve("127.0.0.1", 0, {("GET", "/health"): health})
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_rule_that_the_bridge_refuses_is_found_when_it_has_looked_at_each(metrics: int) -> None:
    assert refused_rules(metrics, {"good", "bad"}) == {"bad": "unexpected 'FORM'"}


def test_a_rule_that_the_bridge_never_hears_of_is_not_waited_for_for_ever(metrics: int) -> None:
    assert refused_rules(metrics, {"good", "never"}, seconds=0.7) == {}
