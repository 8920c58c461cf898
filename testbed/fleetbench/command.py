"""What `make bench-fleet` does: run, print ratios, write JSON."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from testbed.errors import TestbedError
from testbed.fleetbench import runner
from testbed.fleetbench.generators import Generator, Ours, generators
from testbed.fleetbench.runner import Publishing, Report, Scale
from testbed.paths import state_root


def run(scale: Scale, only: Sequence[str] | None, path: Path | None, say: Callable[[str], None]) -> Report:
    """Measure, print, and write the figures as JSON.

    Raises:
        TestbedError: Mosquitto is not installed, or no generator has that name.
    """
    folder = state_root() / "fleetbench"
    folder.mkdir(parents=True, exist_ok=True)
    report = runner.run(_chosen(generators(folder), only), scale, folder, say)
    for how, published in (("TCP", report.publish_tcp), ("mutual TLS", report.publish_mtls)):
        say(f"Publishes/s a core, {how}: {ratios(published)}")
    path = path or folder / "figures.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report.as_dict(), indent=1) + "\n")
    say(f"Figures: {path}")
    return report


def ratios(published: Sequence[Publishing]) -> str:
    """The simulator's publishes a CPU second over the best peer's: in Python, and in any language."""
    ours = next((entry for entry in published if entry.name == "simulator"), None)
    peers = [entry for entry in published if not entry.name.startswith("simulator")]
    if ours is None or not peers:
        return "nothing to compare"
    said = []
    for what, among in (("in Python", [one for one in peers if one.language == "Python"]), ("of all", peers)):
        if among:
            best = max(among, key=lambda entry: entry.a_core)
            said.append(f"{ours.a_core / best.a_core:.2f} times {best.name}'s, the best {what}")
    return "; ".join(said)


def _chosen(known: list[Generator], only: Sequence[str] | None) -> list[Generator]:
    if not only:
        return known
    names = {generator.name for generator in known}
    if unknown := set(only) - names:
        raise TestbedError(
            f"There is no generator {', '.join(sorted(unknown))}.", f"Known: {', '.join(sorted(names))}"
        )
    return [generator for generator in known if generator.name in only or isinstance(generator, Ours)]
