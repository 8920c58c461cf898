"""Quantiles of very many latencies in a few hundred counters."""

import math
from collections import Counter

# Neighbouring buckets are 5 % apart, so a quantile is at most 2.5 % off.
_STEP = math.log(1.05)
_SMALLEST = 1e-6


class Latencies:
    """A histogram with buckets that grow by 5 %; adding is a logarithm and a count, whatever it holds."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._buckets: Counter[int] = Counter()
        self.count = 0

    def add(self, seconds: float, times: int = 1) -> None:
        """Note one, or several of the same."""
        if times:
            self._buckets[round(math.log(max(seconds, _SMALLEST)) / _STEP)] += times
            self.count += times

    def include(self, other: "Latencies") -> None:
        """Note all that another has noted."""
        self._buckets.update(other._buckets)
        self.count += other.count

    def quantile(self, share: float) -> float:
        """Return the latency in seconds that a ``share`` (0 to 1) of all does not exceed; 0 if there is none."""
        left = share * self.count
        value = 0.0
        for bucket in sorted(self._buckets):
            value = math.exp(bucket * _STEP)
            left -= self._buckets[bucket]
            if left <= 0:
                break
        return value
