"""The stations' half of MQTT against the broker's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import packets as broker
from simulator import packets


def parsed(data: bytes) -> broker.Packet:
    buffer = bytearray(data)
    packet = broker.take_packet(buffer, 1 << 20)
    assert packet is not None
    assert not buffer
    return packet


def test_connect_is_read_as_it_was_meant() -> None:
    """A clean session, our client id and keep-alive."""
    packet = parsed(packets.connect("station-äöü", 61))
    assert packet.kind == broker.CONNECT
    assert broker.parse_connect(packet.body) == broker.Connect("station-äöü", True, 61, None)


@given(payload=st.binary(max_size=20_000), packet_id=st.integers(0, 65_535))
def test_publish_is_read_as_it_was_meant(payload: bytes, packet_id: int) -> None:
    """Whatever the payload and however long: topic, bytes, QoS and identifier arrive."""
    packet = parsed(packets.Topic("a/b").publish([payload], [packet_id]))
    assert packet.kind == broker.PUBLISH
    found = broker.parse_publish(packet.flags, packet.body)
    assert found == broker.Publish("a/b", payload, 1 if packet_id else 0, packet_id)


@given(identifiers=st.lists(st.integers(1, 65_535), max_size=30), cuts=st.lists(st.integers(1, 40)))
def test_answers_arrive_whole_however_they_are_cut(identifiers: list[int], cuts: list[int]) -> None:
    """TCP keeps no packets apart: acknowledgements cut anywhere are read once each, in order."""
    data = b"".join(broker.puback(number) for number in identifiers) + broker.PINGRESP_PACKET
    buffer, found, cuts = bytearray(), [], [*cuts, len(data)]
    while data:
        size = cuts.pop(0) if len(cuts) > 1 else len(data)
        buffer += data[:size]
        data = data[size:]
        found += packets.take(buffer)
    assert found == [(packets.PUBACK, 0, number.to_bytes(2)) for number in identifiers] + [
        (packets.PINGRESP, 0, b"")
    ]
    assert not buffer


@given(identifiers=st.lists(st.integers(1, 65_535), min_size=1, max_size=30), cut=st.integers(0, 4))
def test_acknowledgements_are_read_in_one_go_only_when_whole(identifiers: list[int], cut: int) -> None:
    """The quick way reads what the careful one reads, and leaves everything else to it."""
    data = b"".join(broker.puback(number) for number in identifiers)
    assert list(packets.take_pubacks(data) or ()) == identifiers
    assert packets.take_pubacks(data + broker.PINGRESP_PACKET) is None
    assert packets.take_pubacks(data + broker.connack(broker.ACCEPTED)) is None
    if cut in (1, 2, 3):
        assert packets.take_pubacks(data[:-cut]) is None


def test_packets_of_one_turn_follow_each_other() -> None:
    """Several payloads are as many packets, one after the other, each with its identifier."""
    buffer = bytearray(packets.Topic("a/b").publish([b"1", b"x" * 300], [7, 8]))
    for payload, packet_id in ((b"1", 7), (b"x" * 300, 8)):
        packet = broker.take_packet(buffer, 1 << 20)
        assert packet is not None
        assert broker.parse_publish(packet.flags, packet.body) == broker.Publish("a/b", payload, 1, packet_id)
    assert not buffer


def test_a_refusal_says_why() -> None:
    """CONNACK's codes are words in the error."""
    assert packets.refusal(broker.connack(broker.ACCEPTED)[2:]) is None
    assert packets.refusal(broker.connack(broker.NOT_AUTHORIZED)[2:]) == "this client is not authorized"
    assert packets.refusal(bytes((0, 77))) == "code 77"


def test_a_length_that_is_none_is_an_error() -> None:
    """A peer that speaks something else is not waited for until memory ends."""
    with pytest.raises(packets.ProtocolError):
        packets.take(bytearray(b"\x20\xff\xff\xff\xff\xff"))


@given(filters=st.lists(st.text("ab/+#ä€", min_size=1, max_size=30), min_size=1, max_size=8))
def test_subscribe_is_read_as_it_was_meant(filters: list[str]) -> None:
    packet = parsed(packets.subscribe(filters, 7))
    packet_id, found = broker.parse_subscribe(packet.body)
    assert (packet_id, [(each.topic_filter, each.qos) for each in found]) == (
        7,
        [(each, 1) for each in filters],
    )


@given(payload=st.binary(max_size=300), packet_id=st.integers(0, 65_535))
def test_what_the_broker_publishes_is_read_as_it_was_meant(payload: bytes, packet_id: int) -> None:
    data = broker.publish(
        "a/ä".encode(), payload, qos=min(1, packet_id), packet_id=packet_id
    ) + broker.suback(9, [1, 0x80])
    (kind, flags, body), answer = packets.take(bytearray(data))
    assert kind == packets.PUBLISH
    assert packets.message(flags, body) == ("a/ä", payload, packet_id)
    assert answer == (packets.SUBACK, 0, b"\x00\x09\x01\x80")
    assert parsed(packets.puback(513)).body == b"\x02\x01"
