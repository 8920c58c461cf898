"""How a fleet is doing, in a line: live on a terminal, every few seconds in a log."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from simulator.fleet import Fleet

log = logging.getLogger("simulator")

_LOG_EVERY_SECONDS = 5.0


class Progress:
    """Turns a fleet's counters into a line; rates are those since the line before."""

    def __init__(self) -> None:
        """Begin now."""
        self._at = time.monotonic()
        self._sent = self._acknowledged = 0

    def line(self, fleet: Fleet) -> str:
        """Say how the fleet stands."""
        summary, now = fleet.summary, time.monotonic()
        seconds = max(now - self._at, 1e-9)
        sent, acknowledged = summary.sent - self._sent, summary.acknowledged - self._acknowledged
        self._at, self._sent, self._acknowledged = now, summary.sent, summary.acknowledged
        shard, shards = fleet.options.shard
        return (
            (f"shard {shard}/{shards}, " if shards > 1 else "")
            + f"{summary.seconds:.0f} s: connected {fleet.up}/{summary.stations}, sent {sent / seconds:.0f}/s, "
            f"acknowledged {acknowledged / seconds:.0f}/s ({summary.acknowledged} in all), "
            f"outstanding {fleet.outstanding}, "
            f"ack p50 {1000 * summary.latencies.quantile(0.5):.1f} ms "
            f"p99 {1000 * summary.latencies.quantile(0.99):.1f} ms, "
            f"disconnects {summary.disconnects}, refused {summary.refused}"
        )


@contextmanager
def reporter(*, chatty: bool, alone: bool) -> Iterator[Callable[[Fleet], None]]:
    """Make what `Fleet.run` calls every second.

    A chatty fleet, one that logs each publish, needs no more lines. A terminal has one live line, so a fleet that is
    not ``alone`` there logs.
    """
    progress, console = Progress(), Console()
    if chatty:
        yield lambda _: None
    elif console.is_terminal and alone:
        with Live(console=console, transient=True, auto_refresh=False) as live:
            yield lambda fleet: live.update(Text(progress.line(fleet)), refresh=True)
    else:
        next_at = time.monotonic()

        def tell(fleet: Fleet) -> None:
            nonlocal next_at
            if time.monotonic() >= next_at:
                next_at += _LOG_EVERY_SECONDS
                log.info("%s", progress.line(fleet))

        yield tell
