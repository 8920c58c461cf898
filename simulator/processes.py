"""A fleet over several processes: each runs a shard, and their summaries are added up."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

from simulator.options import FleetError, FleetOptions, FleetSummary

Run = Callable[[FleetOptions], FleetSummary]


def shards(options: FleetOptions, processes: int) -> list[FleetOptions]:
    """Say what each process runs: together exactly what ``options`` says, at the same rate of connecting.

    The run's name is settled here, so that it is one; each process keeps a ledger of its own beside the others.
    """
    index, count = options.shard
    run_id = options.run_id or datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return [
        replace(
            options,
            run_id=run_id,
            shard=(index + count * number, count * processes),
            ramp_per_second=options.ramp_per_second / processes,
            ledger=_ledger(options.ledger, number),
        )
        for number in range(processes)
    ]


def run_spread(options: FleetOptions, processes: int, run_one: Run) -> FleetSummary:
    """Run the fleet over ``processes``, to its end; SIGINT and SIGTERM are handed on.

    Raises:
        FleetError: a process failed; with what it said.
    """
    context = multiprocessing.get_context("spawn")
    children, pipes = [], []
    for part in shards(options, min(processes, options.num_stations)):
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(run_one, part, theirs))
        child.start()
        theirs.close()
        children.append(child)
        pipes.append(ours)

    def hand_on(number: int, _frame: object) -> None:
        for child in children:
            if child.pid and child.is_alive():
                os.kill(child.pid, number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        told = [_receive(pipe) for pipe in pipes]
        for child in children:
            child.join()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    failed = [one for one in told if isinstance(one, str)]
    if failed:
        raise FleetError(failed[0])
    return add_up([one for one in told if isinstance(one, FleetSummary)])


def add_up(parts: list[FleetSummary]) -> FleetSummary:
    """Add the counts; the whole lasted as long as the longest part, and its latencies are all of theirs."""
    whole = FleetSummary()
    for part in parts:
        for counted in fields(FleetSummary):
            if counted.name == "latencies":
                whole.latencies.include(part.latencies)
            elif counted.name.endswith("seconds"):
                setattr(whole, counted.name, max(getattr(whole, counted.name), getattr(part, counted.name)))
            else:
                setattr(whole, counted.name, getattr(whole, counted.name) + getattr(part, counted.name))
    return whole


def _child(run_one: Run, options: FleetOptions, pipe: Pipe) -> None:
    # A terminal's Ctrl-C goes to the parent alone, which hands it on: a second one would mean "at once".
    os.setpgrp()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        pipe.send(run_one(options))
    except Exception as error:  # told to the parent, who says it
        pipe.send(str(error) or type(error).__name__)


def _end_with_parent() -> None:
    """Wait until the parent is gone, which a kill gives no time to say so, and end as if told to."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _receive(pipe: Pipe) -> FleetSummary | str:
    try:
        told: FleetSummary | str = pipe.recv()
    except EOFError:
        return "A process of the fleet died."
    return told


def _ledger(ledger: Path | None, number: int) -> Path | None:
    return ledger.with_name(f"{ledger.stem}-{number + 1}{ledger.suffix}") if ledger else None
