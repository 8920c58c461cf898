"""ministack without a data plane of its own: its broker and its rules never run, and ours has its calls.

ministack 1.5.33 publishes what `iot-data` is given to a broker of its own and runs the rules on it, beside our
broker and our bridge. Here its `iot-data`, `iot-jobs-data` and a part of `iot` (Jobs, and what it has not:
RegisterThing, TestInvokeAuthorizer) are handed over to the data plane at ``DATA_PLANE_URL``, and so are the events of
its registry ("$aws/events/..."). What it was asked by is what it checked before: the signature, and with ``AUTH=true``
the caller's policies.
"""

import asyncio
import http.client
import json
import logging
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from ministack.services import iot, iot_data, iot_jobs_data

log = logging.getLogger("data_plane")

Answer = tuple[int, dict[str, str], bytes]

_OURS = re.compile(r"/jobs(/.*)?|/things/[^/]+/jobs(/.*)?|/authorizer/[^/]+/test")
_SECONDS = 30
_url = urlsplit(os.environ.get("DATA_PLANE_URL", ""))
# Where devices connect: a name that resolves; AWS's DescribeEndpoint names no port, and nor does this.
_endpoint = os.environ.get("IOT_DATA_ENDPOINT", "localhost")
# Its own: functions that ministack runs may hold every thread of the loop's, and wait for us.
_pool = ThreadPoolExecutor(16, thread_name_prefix="data-plane")
_kept = threading.local()
_control_plane = iot.handle_request


def patch() -> None:
    """Hand the data plane's calls over, and keep ministack's broker and rules from running."""
    iot_data.handle_request = hand_over
    iot_jobs_data.handle_request = hand_over
    iot.handle_request = _handle_control_plane
    iot.broker_publish = _tell
    iot.handle_websocket = _refuse
    iot.mtls_start = _nothing
    # Nothing calls them any more: the publish above did. They are taken away so that nothing ever will.
    iot._evaluate_topic_rules = iot._run_rule_actions = _nothing


async def hand_over(
    method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
) -> Answer:
    """Have the data plane answer a request."""
    pairs = [
        (name, value)
        for name, values in query.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    target = quote(path, safe="/") + (f"?{urlencode(pairs)}" if pairs else "")
    sent = {
        name: value
        for name, value in headers.items()
        if name.lower() not in ("host", "content-length", "connection", "transfer-encoding", "expect")
    }
    try:
        return await asyncio.get_running_loop().run_in_executor(_pool, _ask, method, target, sent, body)
    except (OSError, http.client.HTTPException) as error:
        log.warning("the data plane does not answer: %s", error)
        document = {"message": f"The data plane does not answer ({error})."}
        refusal = {"content-type": "application/json", "x-amzn-errortype": "ServiceUnavailableException"}
        return 503, refusal, json.dumps(document).encode()


async def _handle_control_plane(
    method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
) -> Answer:
    if _is_ours(method, path):
        return await hand_over(method, path, headers, body, query)
    answer: Answer = await _control_plane(method, path, headers, body, query)
    if path == "/endpoint" and answer[0] == 200:
        return 200, answer[1], json.dumps({"endpointAddress": _endpoint}).encode()
    return answer


def _is_ours(method: str, path: str) -> bool:
    # ListThings is a GET of the same path as RegisterThing.
    return (method, path) == ("POST", "/things") or _OURS.fullmatch(path) is not None


async def _tell(_account: str, _region: str, topic: str, payload: bytes, *_: Any, **__: Any) -> None:
    """Publish an event of the registry through the data plane; it is lost where there is none, as ministack's are."""
    if topic.startswith("$aws/events/"):
        target = f"/_testbed/events/{quote(topic, safe='')}"
        try:
            await asyncio.get_running_loop().run_in_executor(_pool, _ask, "POST", target, {}, payload)
        except (OSError, http.client.HTTPException) as error:
            log.warning("an event to %s is lost: %s", topic, error)


async def _refuse(_scope: Any, _receive: Any, send: Any, *_: Any) -> None:
    await send({"type": "websocket.close", "code": 1008, "reason": "devices connect to the testbed's broker"})


async def _nothing(*_: Any, **__: Any) -> None:
    """Take the place of a function that must not run."""


def _ask(method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
    """Make a request over this thread's connection; over a new one if the data plane has closed it meanwhile."""
    if not _url.hostname:
        raise OSError("DATA_PLANE_URL is not set")
    kept: http.client.HTTPConnection | None = getattr(_kept, "connection", None)
    if kept is not None:
        try:
            return _exchange(kept, method, target, headers, body)
        except (ConnectionError, http.client.RemoteDisconnected):
            kept.close()  # it may have been carried out: publishing twice is what at least once means
    _kept.connection = http.client.HTTPConnection(_url.hostname, _url.port, timeout=_SECONDS)
    try:
        return _exchange(_kept.connection, method, target, headers, body)
    except BaseException:
        _kept.connection.close()
        _kept.connection = None
        raise


def _exchange(
    connection: http.client.HTTPConnection, method: str, target: str, headers: dict[str, str], body: bytes
) -> Answer:
    connection.request(method, target, body, headers)
    answer = connection.getresponse()
    found = {
        name.lower(): value
        for name, value in answer.getheaders()
        if name.lower() in ("content-type", "x-amzn-errortype")
    }
    return answer.status, found, answer.read()
