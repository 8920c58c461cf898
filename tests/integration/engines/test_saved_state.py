"""Whether ministack saved what it held is known afterwards: after SIGTERM it has, after SIGKILL it has not.

Role aliases and authorizers, which are ours there, are made before anything of the data plane runs, as Terraform does.
"""

import time
from pathlib import Path
from typing import Any

import boto3
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
    iot = _iot(place)
    iot.create_role_alias(
        roleAlias="a", roleArn="arn:aws:iam::000000000000:role/r", tags=[{"Key": "k", "Value": "v"}]
    )
    function = "arn:aws:lambda:eu-central-1:000000000000:function:f"
    iot.create_authorizer(authorizerName="b", authorizerFunctionArn=function, signingDisabled=True)
    iot.set_default_authorizer(authorizerName="b")
    ministack.stop(kill=killed)
    assert engine.saved_state(place, since) is not killed
    if killed:
        return
    (again,) = engine.start_cloud(place)
    try:
        alias = iot.describe_role_alias(roleAlias="a")["roleAliasDescription"]["roleAliasArn"]
        assert iot.list_tags_for_resource(resourceArn=alias)["tags"] == [{"Key": "k", "Value": "v"}]
        assert iot.describe_default_authorizer()["authorizerDescription"]["authorizerFunctionArn"] == function
    finally:
        again.stop()


def _iot(place: Place) -> Any:
    session = boto3.Session("test", "test", region_name=place.region)
    return session.client("iot", endpoint_url=f"http://127.0.0.1:{place.ports.aws}")
