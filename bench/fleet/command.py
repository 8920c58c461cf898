"""Run the benchmark of the fleet, print ratios, and write JSON."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from bench.fleet import runner
from bench.fleet.generators import Generator, Ours, generators
from bench.fleet.runner import Publishing, Report, Scale
from bench.results import document
from testbed.engines.mosquitto import installed_version
from testbed.errors import TestbedError
from testbed.paths import state_root

# Those that hold many connections; the simulator's model costs nothing while nothing is published. paho's thread for
# each client would bring a machine to a load of thousands, and amqtt is slower than the ramp: both by name only.
OPEN_MQTT = ("simulator", "gmqtt", "aiomqtt", "paho.mqtt.golang", "MQTT.js")


def run(scale: Scale, only: Sequence[str] | None, out: Path | None, say: Callable[[str], None]) -> Report:
    """Measure, print, and write the figures as JSON: ``fleet.json`` of publishing, ``open-mqtt.json`` of the rest.

    Args:
        scale: how much.
        only: generators by name; all if none is named. Ours are in it, unless one of them is named.
        out: folder of the JSON files.
        say: prints a line.

    Raises:
        TestbedError: Mosquitto is not installed, or no generator has that name.
    """
    begun = document.Run("fleet", "fleet")
    folder = state_root() / "fleetbench"
    folder.mkdir(parents=True, exist_ok=True)
    report = runner.run(_chosen(generators(folder), only), scale, folder, say)
    out = out or document.MEASURED
    versions = {"mosquitto": installed_version()} | report.versions
    if scale.messages:
        for how, published in (("TCP", report.publish_tcp), ("mutual TLS", report.publish_mtls)):
            say(f"Publishes/s a core, {how}: {ratios(published)}")
        document.write(begun.document(report.publishing, asdict(scale), versions), out / "fleet.json")
        say(f"Figures: {out / 'fleet.json'}")
    if scale.connections or scale.mtls_connections or scale.fan_in:
        begun = replace(begun, what="open-mqtt", target="open-mqtt")
        document.write(begun.document(report.open_mqtt, asdict(scale), versions), out / "open-mqtt.json")
        say(f"Figures: {out / 'open-mqtt.json'}")
    return report


def ratios(published: Sequence[Publishing]) -> str:
    """Say how many times the best peer's publishes a CPU second the simulator's are, in Python and in any language."""
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
    exact = any(isinstance(generator, Ours) and generator.name in only for generator in known)
    return [
        generator
        for generator in known
        if generator.name in only or (isinstance(generator, Ours) and not exact)
    ]
