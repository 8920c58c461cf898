"""`/summary` and `/realtime`: the pipeline's state, and URLs that a front door as AWS IoT Core's takes."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.credentials import Credentials

from api_handler.realtime import URL_SECONDS
from api_handler.routes import respond
from api_handler.summary import ALARMS_SECONDS, Summary
from bridge.front_door.presigned import RefusedUrlError, verify
from testbed.pipeline import dead_letters
from tests.integration.functions.conftest import CREDENTIALS, Cloud
from tests.integration.functions.test_api import call, never, proxy_event
from tests.unit.functions.samples import envelope, payload, sqs_event

HOST, REGION = "endpoint.example", "eu-central-1"


def _alarm(cloud: Cloud, name: str, state: str) -> None:
    cloud.cloudwatch.put_metric_alarm(
        AlarmName=name,
        AlarmDescription="what to do",
        Namespace="N",
        MetricName="M",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
        Threshold=0,
    )
    cloud.cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test's")


def test_a_summary_counts_what_waits_and_names_the_deployments_alarms(cloud: Cloud) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    for body in ("one", "two"):
        cloud.sqs.send_message(QueueUrl=cloud.queue_url, MessageBody=body)
    # In work is not gone.
    cloud.sqs.receive_message(QueueUrl=cloud.queue_url, MaxNumberOfMessages=1)
    _alarm(cloud, f"{cloud.alarm_prefix}b", "ALARM")
    _alarm(cloud, f"{cloud.alarm_prefix}a", "OK")
    _alarm(cloud, f"another-{cloud.name}", "ALARM")
    try:
        status, summary, _ = call(cloud, "/summary")
    finally:
        names = [f"{cloud.alarm_prefix}a", f"{cloud.alarm_prefix}b", f"another-{cloud.name}"]
        cloud.cloudwatch.delete_alarms(AlarmNames=names)
    assert status == 200
    assert (summary["queue"], summary["dead_letters"]) == (2, 2)
    assert [(alarm["name"], alarm["state"]) for alarm in summary["alarms"]] == [
        (f"{cloud.alarm_prefix}a", "OK"),
        (f"{cloud.alarm_prefix}b", "ALARM"),
    ]
    assert {alarm["description"] for alarm in summary["alarms"]} == {"what to do"}
    assert all(datetime.fromisoformat(alarm["since"]) > before for alarm in summary["alarms"])


def test_alarms_are_asked_for_every_half_minute_and_queues_each_time(cloud: Cloud) -> None:
    now = 0.0
    summary = Summary(
        cloud.queue_url, cloud.queue_url, cloud.alarm_prefix, lambda name: getattr(cloud, name), lambda: now
    )
    assert summary.take() == {"queue": 0, "dead_letters": 0, "dead_letters_by_reason": {}, "alarms": []}
    _alarm(cloud, f"{cloud.alarm_prefix}a", "ALARM")
    try:
        cloud.sqs.send_message(QueueUrl=cloud.queue_url, MessageBody="one")
        now = ALARMS_SECONDS - 1
        early = summary.take()
        now = ALARMS_SECONDS
        late = summary.take()
    finally:
        cloud.cloudwatch.delete_alarms(AlarmNames=[f"{cloud.alarm_prefix}a"])
    assert (early["queue"], early["dead_letters_by_reason"], early["alarms"]) == (
        1,
        {"max_receives_exceeded": 1},
        [],
    )
    assert [alarm["state"] for alarm in late["alarms"]] == ["ALARM"]


def test_a_summary_says_why_letters_are_dead_and_hides_none(cloud: Cloud) -> None:
    """By the same words as `scripts/testbed redrive`, whoever sent the letter there."""
    refused = [envelope(payload("station-01", battery_available=-1)), envelope(b"no JSON"), envelope(b"{}")]
    cloud.invoke(sqs_event(*refused, envelope(b"nor this")))
    for body in (
        {"ruleName": "a_rule", "failures": [], "base64OriginalPayload": ""},
        {"KinesisBatchInfo": {"shardId": "shardId-000000000000"}},
        {"reason": {"code": "too_large"}},
        {"payload_base64": ""},
        ["no object"],
    ):
        cloud.sqs.send_message(QueueUrl=cloud.queue_url, MessageBody=json.dumps(body))
    summary = call(cloud, "/summary")[1]
    letters = dead_letters.read(cloud.sqs, cloud.queue_url)
    assert len(letters) == summary["dead_letters"] == 9
    # This one's record says too little for a redrive, which names it all the same.
    known = Counter(each.reason if "Kinesis" not in each.body else "stream_batch_failed" for each in letters)
    assert summary["dead_letters_by_reason"] == known
    assert next(iter(summary["dead_letters_by_reason"])) in ("not_json", "max_receives_exceeded")
    assert set(known) == {
        "out_of_range",
        "not_json",
        "missing_field",
        "rule_action_failed",
        "stream_batch_failed",
        "too_large",
        "max_receives_exceeded",
    }


def test_a_realtime_url_opens_a_front_door(cloud: Cloud) -> None:
    """The URL is checked as AWS IoT checks it: the session token is behind the signature, all else is under it."""
    status, offer, _ = call(cloud, "/realtime")
    assert status == 200
    assert offer["topics"] == ["ev-swap/stations/+/telemetry"]
    url = urlsplit(offer["url"])
    assert (url.scheme, url.netloc, url.path) == ("wss", HOST, "/mqtt")
    query = parse_qs(url.query)
    assert query["X-Amz-Security-Token"] == [CREDENTIALS.token]
    assert list(query)[-2:] == ["X-Amz-Signature", "X-Amz-Security-Token"]
    assert query["X-Amz-Credential"][0].endswith(f"/{REGION}/iotdevicegateway/aws4_request")
    begins = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ends = datetime.fromisoformat(offer["expires_at"])
    assert timedelta(0) <= begins + timedelta(seconds=URL_SECONDS) - ends <= timedelta(seconds=2)
    target = f"{url.path}?{url.query}"
    known = Credentials(*CREDENTIALS[:3])
    verify(target, HOST, known, REGION, now=begins)
    for forged in ("", "&X-Amz-Security-Token=another"):
        with pytest.raises(RefusedUrlError):
            verify(target.partition("&X-Amz-Security")[0] + forged, HOST, known, REGION, now=begins)


def test_where_no_endpoint_is_set_a_problem_says_so(cloud: Cloud) -> None:
    answer: Any = respond(proxy_event("/realtime"), None, cloud.services(realtime=None), never)
    assert answer["statusCode"] == 404
    assert "not configured" in json.loads(answer["body"])["detail"]


@pytest.mark.parametrize("path", ["/summary", "/realtime"])
def test_a_parameter_is_refused(cloud: Cloud, path: str) -> None:
    assert call(cloud, path, limit=1)[0] == 400
