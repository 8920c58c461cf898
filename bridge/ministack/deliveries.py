"""Have SNS and EventBridge call functions as AWS does: asynchronously.

ministack 1.5.33 runs such a function once, in a thread of its own, and forgets it when the call is throttled, fails
or is cut off: of 1,000 messages to a topic, whose function has four reserved executions, 240 were executed. On AWS both
services hand the event to the function's queue ("Invoking Lambda functions with Amazon SNS notifications" and
"Invoke Lambda with events from other AWS services", Lambda developer guide), which here is `asynchronous`: the event is
on disk before the publisher is answered.
"""

import json
import logging
import threading
from types import SimpleNamespace
from typing import Any

from ministack.services import eventbridge, lambda_svc, sns

log = logging.getLogger("ministack.deliveries")


def _queue(function_arn: str, event: Any) -> None:
    function, config, name = lambda_svc._get_func_record_for_ref(function_arn)
    if not function or not config:
        log.error("an event was dropped: there is no function %s", name)
        return
    lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(function, config), event)


def _from_topic(
    endpoint: str, envelope: str, _topic: str, subscription: str, _id: str, _message: str, _attributes: Any
) -> None:
    record = {
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription,
        "EventSource": "aws:sns",
        "Sns": json.loads(envelope),
    }
    _queue(endpoint, {"Records": [record]})


def _from_rule(function_arn: str, payload: str) -> None:
    _queue(function_arn, json.loads(payload))


class _Threads:
    """What SNS knows as ``threading``: a delivery to a function needs no thread, for it waits on nothing."""

    Lock = threading.Lock

    @staticmethod
    def Thread(target: Any, args: tuple[Any, ...], daemon: bool) -> Any:  # noqa: N802  # threading's name
        if args[0] is _from_topic:
            return SimpleNamespace(start=lambda: target(*args))
        return threading.Thread(target=target, args=args, daemon=daemon)


def patch() -> None:
    """Have ministack's SNS and EventBridge hand events over to `asynchronous`."""
    sns._deliver_to_lambda = _from_topic
    sns._threading = _Threads
    eventbridge._dispatch_to_lambda = _from_rule
