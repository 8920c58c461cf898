"""A dead letter is read whatever it holds."""

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from testbed.pipeline import dead_letters

PAYLOAD = base64.b64encode(b'{"message_id": "a-1"}').decode()


def parse(body: str) -> dead_letters.DeadLetter:
    return dead_letters.parse({"Body": body, "ReceiptHandle": "r", "MessageId": "m"})


def test_the_handlers_reason_and_the_stations_message_id() -> None:
    letter = parse(json.dumps({"reason": {"code": "not_json"}, "payload_base64": PAYLOAD}))
    assert (letter.reason, letter.message_id) == ("not_json", "a-1")


def test_a_message_tried_too_often_and_a_failed_rule_action_have_reasons_of_their_own() -> None:
    assert parse(json.dumps({"payload_base64": PAYLOAD})).reason == "max_receives_exceeded"
    failed = {"ruleName": "r", "failures": [], "base64OriginalPayload": PAYLOAD}
    assert (parse(json.dumps(failed)).reason, parse(json.dumps(failed)).message_id) == (
        "rule_action_failed",
        "a-1",
    )


def test_what_a_stream_gave_up_is_a_range_of_its_records() -> None:
    """Its form is of "Retain discarded batch records ... in Lambda" (AWS Lambda developer guide)."""
    info = {
        "shardId": "shardId-000000000001",
        "startSequenceNumber": "49601189658422359378836298521827638475320189012309704722",
        "endSequenceNumber": "49601189658422359378836298522902373528957594348623495186",
        "approximateArrivalOfFirstRecord": "2019-11-14T00:38:04.835Z",
        "approximateArrivalOfLastRecord": "2019-11-14T00:38:05.580Z",
        "batchSize": 500,
        "streamArn": "arn:aws:kinesis:us-east-2:123456789012:stream/mystream",
    }
    letter = parse(json.dumps({"version": "1.0", "KinesisBatchInfo": info}))
    assert (letter.reason, letter.message_id) == ("stream_batch_failed", None)
    assert letter.given_up is not None
    assert (letter.given_up.shard, letter.given_up.records) == ("shardId-000000000001", 500)
    assert parse(json.dumps({"KinesisBatchInfo": {}})).reason == "max_receives_exceeded"


def test_bare_telemetry_that_was_tried_too_often_has_its_message_id() -> None:
    """Sent to the queue by hand, without the rule's envelope."""
    letter = parse('{"station_id": "a", "message_id": "a-2"}')
    assert (letter.reason, letter.message_id) == ("max_receives_exceeded", "a-2")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.text(),
    lambda inner: st.dictionaries(
        st.sampled_from(
            ["reason", "payload_base64", "ruleName", "failures", "KinesisBatchInfo", "batchSize"]
        ),
        inner,
    ),
)


@given(st.text() | ANYTHING.map(json.dumps))
def test_nothing_in_a_letter_stops_the_reader(body: str) -> None:
    assert parse(body).body == body
