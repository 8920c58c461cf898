"""What a TLS ClientHello says before anything is answered (RFC 8446, 4.1.2; ALPN: RFC 7301).

Python's `ssl` tells the protocols that a client offers (ALPN) when the handshake is over, and whether a certificate
is asked for must be settled before.
"""

_RECORD, _HANDSHAKE, _CLIENT_HELLO, _ALPN = 5, 22, 1, 16


def offered_protocols(data: bytes) -> tuple[str, ...] | None:
    """Return the names that the first bytes of a connection offer in ALPN.

    They are none where it is not TLS, or not in one record. None where more bytes are needed to tell.
    """
    if data[:1] not in (b"", bytes([_HANDSHAKE])):
        return ()
    if len(data) < _RECORD or len(data) < _RECORD + int.from_bytes(data[3:5]):
        return None
    record = data[_RECORD : _RECORD + int.from_bytes(data[3:5])]
    try:
        return _protocols(record)
    except (IndexError, UnicodeDecodeError):
        return ()


def _protocols(record: bytes) -> tuple[str, ...]:
    if record[0] != _CLIENT_HELLO:
        return ()
    place = 4 + 2 + 32  # head of the message, version, random
    place += 1 + record[place]  # session id
    place += 2 + int.from_bytes(record[place : place + 2])  # cipher suites
    place += 1 + record[place]  # compression methods
    end = place + 2 + int.from_bytes(record[place : place + 2])
    place += 2
    while place + 4 <= end:
        kind, size = int.from_bytes(record[place : place + 2]), int.from_bytes(record[place + 2 : place + 4])
        place += 4
        if kind == _ALPN:
            return _names(record[place + 2 : place + size])
        place += size
    return ()


def _names(listed: bytes) -> tuple[str, ...]:
    names = []
    while listed:
        size = listed[0]
        names.append(listed[1 : 1 + size].decode("ascii"))
        listed = listed[1 + size :]
    return tuple(names)
