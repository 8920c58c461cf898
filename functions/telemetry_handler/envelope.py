"""What the queue brings: a station's bytes in an envelope, a presence event, or a bare telemetry object."""

import binascii
from typing import Any

import msgspec

from telemetry_handler.presence import Presence, read_presence
from telemetry_handler.refusal import Refused

# 9999-12-31T23:59:59.999Z: what a datetime can say, in epoch milliseconds.
_LAST_MILLISECOND = 253_402_300_799_999


class Record(msgspec.Struct, frozen=True, gc=False):
    """One message of the queue or stream.

    ``record_id``: the message's id, or the record's sequence number. ``sent_at``: epoch ms at which the queue or stream
    took it; the same on every retry.
    """

    record_id: str
    body: bytes
    sent_at: int


class Message(msgspec.Struct, frozen=True, gc=False):
    """A station's bytes as published, and what the broker knew of them.

    ``topic`` and ``client_id`` are None when it did not come through the broker; ``received_at`` is epoch ms.
    """

    payload: bytes
    topic: str | None
    client_id: str | None
    received_at: int
    source_message_id: str


class _Envelope(msgspec.Struct):
    """The rule's envelope. A dead letter of ours has the same fields, so a redriven one is one too."""

    payload_base64: str
    topic: str | None = None
    client_id: str | None = None
    received_at: int | None = None


class _ErrorAction(msgspec.Struct):
    """What AWS IoT sends to a rule's error action, as far as a redrive needs it.

    Source: https://docs.aws.amazon.com/iot/latest/developerguide/rule-error-handling.html
    """

    payload_base64: str = msgspec.field(name="base64OriginalPayload")
    topic: str | None = None
    client_id: str | None = msgspec.field(name="clientId", default=None)
    received_at: int | None = None


_envelope_decoder = msgspec.json.Decoder(_Envelope)
_error_action_decoder = msgspec.json.Decoder(_ErrorAction)


def read(record: Record) -> Message | Presence:
    """Read what ``record`` carries.

    Whatever is neither an envelope nor a presence event is taken as bare telemetry: its validation then says
    what is wrong with it.

    Raises:
        Refused: ``bad_envelope``.
    """
    try:
        return _open(_envelope_decoder.decode(record.body), record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_other(record)


def bare(record: Record) -> Message:
    """Take the record's body itself as the payload."""
    return Message(record.body, None, None, record.sent_at, record.record_id)


def _read_other(record: Record) -> Message | Presence:
    try:
        document: Any = msgspec.json.decode(record.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return bare(record)
    if not isinstance(document, dict):
        return bare(record)
    try:
        if "payload_base64" in document:
            return _open(_envelope_decoder.decode(record.body), record)  # again, for what is wrong with it
        if "base64OriginalPayload" in document:
            return _open(_error_action_decoder.decode(record.body), record)
        if "eventType" in document and "clientId" in document:
            return read_presence(record.body)
    except msgspec.ValidationError as error:
        # msgspec names the types and the path, never the value.
        raise Refused("bad_envelope", str(error)) from error
    return bare(record)


def _open(envelope: _Envelope | _ErrorAction, record: Record) -> Message:
    try:
        payload = binascii.a2b_base64(envelope.payload_base64, strict_mode=True)
    except ValueError as error:  # binascii.Error, or characters beyond ASCII
        raise Refused("bad_envelope", "the payload is not base64", "payload_base64") from error
    received_at = record.sent_at if envelope.received_at is None else envelope.received_at
    if not 0 <= received_at <= _LAST_MILLISECOND:
        raise Refused("bad_envelope", "received_at is not epoch milliseconds", "received_at")
    return Message(payload, envelope.topic, envelope.client_id, received_at, record.record_id)
