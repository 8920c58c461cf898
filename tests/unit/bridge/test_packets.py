"""MQTT packets: what is written is read, and what is no packet never raises anything else."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import packets
from bridge.packets import MalformedPacketError, take_packet


@given(
    topic=st.text(min_size=1, max_size=50).filter(lambda text: not set(text) & {"+", "#", "\0"}),
    payload=st.binary(max_size=300),
    qos=st.integers(0, 1),
    packet_id=st.integers(1, 65535),
)
def test_a_publish_is_read_as_it_was_written(topic: str, payload: bytes, qos: int, packet_id: int) -> None:
    written = packets.publish(topic.encode(), payload, qos=qos, packet_id=packet_id)
    packet = take_packet(bytearray(written), 1_000_000)
    assert packet
    read = packets.parse_publish(packet.flags, packet.body)
    assert (read.topic, read.payload, read.qos) == (topic, payload, qos)
    assert read.packet_id == (packet_id if qos else 0)


@given(data=st.binary(max_size=60), cut=st.integers(0, 60))
def test_a_packet_is_taken_when_it_is_whole(data: bytes, cut: int) -> None:
    written = packets.publish(b"t", data, qos=0)
    buffer = bytearray(written[: min(cut, len(written) - 1)])
    assert take_packet(buffer, 1000) is None
    buffer += written[len(buffer) :] + b"rest"
    assert take_packet(buffer, 1000)
    assert buffer == b"rest"


@given(st.binary(max_size=200))
def test_noise_is_malformed_or_incomplete_and_nothing_else(noise: bytes) -> None:
    with contextlib.suppress(MalformedPacketError):
        packet = take_packet(bytearray(noise), 100)
        if packet:
            for parse in (
                packets.parse_connect,
                packets.parse_subscribe,
                packets.parse_unsubscribe,
                packets.parse_packet_id,
            ):
                with contextlib.suppress(MalformedPacketError):
                    parse(packet.body)
            packets.parse_publish(packet.flags, packet.body)


def test_a_packet_over_the_limit_is_refused_before_it_is_buffered() -> None:
    with pytest.raises(MalformedPacketError, match="limit"):
        take_packet(bytearray(b"\x30\xff\xff\x7f"), 1000)


def test_another_protocol_version_is_told_from_noise() -> None:
    """MQTT 6, when there is one, gets a CONNACK that says so."""
    body = b"\x00\x04MQTT\x06\x02\x00\x3c\x00\x00\x01a"
    assert not packets.parse_connect(body).supported
