"""Lambda's entry: telemetry_handler.app.handler."""

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics

from telemetry_handler.batch import Stores
from telemetry_handler.invocation import answer
from telemetry_handler.report import reporter

logger = Logger()
metrics = Metrics(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "EvSwap"))
_stores = Stores.from_environment()
_report = reporter(logger, metrics)


@logger.inject_lambda_context
def handler(event: Any, context: Any) -> dict[str, Any]:
    """See ``invocation.answer``."""
    return answer(event, context, _stores, _report)
