"""Lambda's entry: api_handler.app.handler."""

import os
import time
from typing import Any

import botocore.session
from aws_lambda_powertools import Logger
from botocore.config import Config

from api_handler.commands import Commands, Publisher
from api_handler.history import History, Window
from api_handler.jobs import Jobs
from api_handler.operations import Operations
from api_handler.realtime import Realtime
from api_handler.routes import Services, respond
from api_handler.settings import Settings
from api_handler.stations import Stations
from api_handler.summary import Summary

for _name in (
    "STATIONS_TABLE",
    "HISTORY_TABLE",
    "OPERATIONS_TABLE",
    "STATION_PREFIX",
    "TOPIC_ROOT",
    "COMMANDS_ROLE_ARN",
    "HISTORY_RESOLUTION_SECONDS",
    "HISTORY_HOURS",
    "TELEMETRY_QUEUE_URL",
    "DEAD_LETTER_QUEUE_URL",
    "ALARM_PREFIX",
    "JOB_PREFIX",
):
    if not os.environ.get(_name):
        raise RuntimeError(f"the environment variable {_name} is not set: terraform/lambda.tf does it")

logger = Logger()
_session = botocore.session.get_session()
# Two attempts fit into the function's 10 seconds.
_client: Any = _session.create_client(
    "dynamodb",
    config=Config(
        connect_timeout=1,
        read_timeout=3,
        retries={"mode": "standard", "total_max_attempts": 2},
        tcp_keepalive=True,
    ),
)
_operations = Operations(_client, os.environ["OPERATIONS_TABLE"])
_services = Services(
    Stations(_client, os.environ["STATIONS_TABLE"]),
    History(
        _client,
        os.environ["HISTORY_TABLE"],
        Window(int(os.environ["HISTORY_RESOLUTION_SECONDS"]), int(os.environ["HISTORY_HOURS"])),
    ),
    Summary.from_environment(_session),
    Settings.of(_session, _operations, os.environ["STATION_PREFIX"]),
    Commands(Publisher(_session, os.environ["COMMANDS_ROLE_ARN"]), _operations, os.environ["TOPIC_ROOT"]),
    Jobs.of(_session, os.environ["JOB_PREFIX"]),
    Realtime.from_environment(_session),
)


@logger.inject_lambda_context
def handler(event: Any, context: Any) -> dict[str, Any]:
    """Answer one HTTP request, and log one line of it."""
    started = time.perf_counter()
    answer = respond(event, context, _services, lambda: logger.exception("failed"))
    asked = event if isinstance(event, dict) else {}
    logger.info(
        "request",
        extra={
            "method": asked.get("httpMethod"),
            "path": asked.get("path"),
            "status": answer["statusCode"],
            "milliseconds": round((time.perf_counter() - started) * 1000, 1),
        },
    )
    return answer
