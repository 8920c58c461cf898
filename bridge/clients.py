"""Clients of AWS's other services at an emulator."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


def clients(endpoint_url: str, region: str, *, seconds: float = 10) -> Callable[[str], Any]:
    """Return what makes a boto3 client of a service, by its name, once.

    Args:
        endpoint_url: where all services answer.
        region: of the account.
        seconds: how long an answer may take; a call is tried once.
    """
    found = botocore.session.Session().get_credentials()
    keys = (found.access_key, found.secret_key, found.token) if found else ("test", "test", None)
    session = boto3.Session(*keys, region_name=region)
    config = Config(read_timeout=seconds, connect_timeout=seconds, retries={"total_max_attempts": 1})

    @cache
    def client(service: str) -> Any:
        make: Callable[..., Any] = session.client
        return make(service, endpoint_url=endpoint_url, config=config)

    return client


class FunctionFailedError(Exception):
    """A function could not be called, or failed."""


Invoke = Callable[[str, Mapping[str, Any]], Any]


def invoker(endpoint_url: str, region: str, *, seconds: float) -> Invoke:
    """Return what calls Lambda functions and returns the JSON that they answer.

    It takes a function's ARN or name, and the event; it raises `FunctionFailedError` where the function is not there,
    takes longer than ``seconds``, or raises.
    """
    client = clients(endpoint_url, region, seconds=seconds)

    def invoke(function: str, event: Mapping[str, Any]) -> Any:
        try:
            answer = client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
            said = json.load(answer["Payload"])
        except (ClientError, BotoCoreError, ValueError) as error:
            raise FunctionFailedError(str(error)) from error
        if "FunctionError" in answer:
            raise FunctionFailedError(str(said))
        return said

    return invoke
