"""AWS clients, made once in a process.

botocore, as nothing of what boto3 adds to it is used here; for DynamoDB, which is called most, less than that.
"""

import functools
import os
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.utils import get_environ_proxies

from telemetry_handler.dynamodb import DynamoDB, Items

POOL_SIZE = 16  # calls at a time; a half-vCPU Lambda is busy with fewer

# A call that hangs must leave time to report it: three attempts stay below half of the function's timeout.
_CONFIG = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 3},
    tcp_keepalive=True,
    max_pool_connections=POOL_SIZE,
)


@functools.cache
def _session() -> botocore.session.Session:
    return botocore.session.get_session()


def make_client(service: str) -> Any:
    """Make a client of ``service``; endpoint, region and credentials come from the environment."""
    return _session().create_client(service, config=_CONFIG)


def make_dynamodb() -> Items:
    """Make what writes to DynamoDB; where a proxy is between, botocore's client, which knows how to go through it."""
    made = DynamoDB.from_session(_session())
    client: Items = make_client("dynamodb") if get_environ_proxies(made.url) else made
    return client


def required_variable(name: str) -> str:
    """Read the environment variable ``name``.

    Raises:
        RuntimeError: it is not set.
    """
    value = os.environ.get(name)
    if not value:
        raise RuntimeError(f"the environment variable {name} is not set: terraform/lambda.tf does it")
    return value
