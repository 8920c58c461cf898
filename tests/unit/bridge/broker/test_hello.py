"""The protocols of a ClientHello as OpenSSL writes it, whole and in parts."""

import ssl

import pytest

from bridge.broker.hello import offered_protocols


def hello(*protocols: str, name: str = "localhost") -> bytes:
    """Return the first bytes of a client that offers these."""
    context = ssl.create_default_context()
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("protocols", [(), ("x-amzn-mqtt-ca",), ("h2", "http/1.1"), ("a" * 255,)])
def test_the_protocols_are_read_when_all_is_there(protocols: tuple[str, ...]) -> None:
    data = hello(*protocols)
    assert offered_protocols(data) == protocols
    assert {offered_protocols(data[:end]) for end in range(len(data))} == {None}


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\x10\x0e\x00\x04MQTT", b"\x15\x03\x01\x00\x02\x02\x28"]
)
def test_what_is_no_hello_offers_nothing(data: bytes) -> None:
    assert offered_protocols(data) == ()


def test_a_damaged_hello_raises_nothing() -> None:
    data = hello("x-amzn-mqtt-ca")
    for place in range(5, len(data)):
        damaged = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        assert isinstance(offered_protocols(damaged), tuple)
