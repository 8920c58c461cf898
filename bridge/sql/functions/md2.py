"""MD2 (RFC 1319), which hashlib no longer has and AWS IoT SQL does."""

from __future__ import annotations

from functools import cache

_PI_DIGITS = 800


def _pi_digits() -> list[int]:
    """Return the first digits of pi, by Machin's formula."""
    unit: int = 10 ** (_PI_DIGITS + 10)

    def arctan_inverse(divisor: int) -> int:
        power: int = unit // divisor
        total = power
        step, sign = 3, -1
        while power:
            power //= divisor * divisor
            total += sign * (power // step)
            step, sign = step + 2, -sign
        return total

    pi = 4 * (4 * arctan_inverse(5) - arctan_inverse(239))
    return [int(digit) for digit in str(pi)[:_PI_DIGITS]]


@cache
def _substitution() -> bytes:
    """MD2's table: 0..255 shuffled (Fisher-Yates) with the digits of pi as the source of chance."""
    digits = iter(_pi_digits())

    def below(limit: int) -> int:
        while True:
            drawn, span = next(digits), 10
            while span < limit:
                drawn, span = drawn * 10 + next(digits), span * 10
            if drawn < limit * (span // limit):
                return drawn % limit

    table = list(range(256))
    for place in range(1, 256):
        other = below(place + 1)
        table[place], table[other] = table[other], table[place]
    return bytes(table)


def md2(data: bytes) -> str:
    """Return the MD2 digest in hexadecimal."""
    table = _substitution()
    padding = 16 - len(data) % 16
    data += bytes([padding]) * padding
    checksum = bytearray(16)
    last = 0
    for start in range(0, len(data), 16):
        for place in range(16):
            checksum[place] ^= table[data[start + place] ^ last]
            last = checksum[place]
    data += checksum
    state = bytearray(48)
    for start in range(0, len(data), 16):
        for place in range(16):
            state[16 + place] = data[start + place]
            state[32 + place] = state[16 + place] ^ state[place]
        mixed = 0
        for turn in range(18):
            for place in range(48):
                state[place] ^= table[mixed]
                mixed = state[place]
            mixed = (mixed + turn) % 256
    return state[:16].hex()
