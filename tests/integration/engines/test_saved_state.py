"""Whether ministack saved what it held is known afterwards: after SIGTERM it has, after SIGKILL it has not."""

import time
from pathlib import Path

import pytest

from testbed.engines.base import Place, Ports
from testbed.engines.embedded import EmbeddedEngine
from testbed.host import ports


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "ended"])
def test_saved_state_is_told_from_lost_state(killed: bool, tmp_path: Path) -> None:
    engine = EmbeddedEngine()
    place = Place(tmp_path, Ports(ports.choose(None, what="the AWS APIs"), 0, 0), "eu-central-1")
    since = time.time()
    (ministack,) = engine.start_cloud(place)
    assert not engine.saved_state(place, since)
    ministack.stop(kill=killed)
    assert engine.saved_state(place, since) is not killed
