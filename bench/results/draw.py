"""Draw every plot of the documentation as SVG, from the JSON in RESULTS: ``python draw.py RESULTS IMAGES``.

Runs in an environment of its own (plots.txt). The same JSON gives the same bytes: ids are salted with a constant, no
date is written, and text becomes outlines, so that no font of the reader's matters.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

# Okabe and Ito's colours, which people with any colour vision tell apart.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8a8a8a",
)  # fmt: skip
mpl.use("svg")
mpl.rcParams |= {
    "svg.hashsalt": "ev-swap-testbed",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
}
HOURS = list(range(24))
WIDE, LOW = 7.2, 3.4


def day_swaps(day: dict[str, Any]) -> Figure:
    """Draw the daily profile: what the model was given, and what came out."""
    found = day["figures"]
    count = day["scale"]["stations"]
    figure, axes = plt.subplots(figsize=(WIDE, LOW))
    swaps = [hour["swaps"] / count for hour in found["scenarios"]["normal-day"]["hours"]]
    axes.bar(HOURS, swaps, color=SKY, width=0.8, label=f"simulated, {sum(swaps):.1f} a day")
    expected = [each / count for each in found["expected_swaps"]]
    axes.plot(
        HOURS, expected, color=BLUE, marker="o", markersize=3.5, linewidth=1.2,
        label=f"published mean of {found['published']['mean']:.0f} a day, by the assumed profile",
    )  # fmt: skip
    axes.set_ylabel("swaps a station in the hour")
    axes.legend(loc="upper left")
    _hours(axes)
    return figure


def day_availability(day: dict[str, Any]) -> Figure:
    """Draw the packs that are ready, by hour and site."""
    hours = day["figures"]["scenarios"]["normal-day"]["hours"]
    figure, axes = plt.subplots(figsize=(WIDE, LOW))
    for site, colour in (("urban", BLUE), ("highway", ORANGE)):
        ready = [100 * hour["ready_at"][site] for hour in hours]
        axes.plot(HOURS, ready, color=colour, marker="o", markersize=3.5, label=f"{site} stations")
    axes.set_ylabel("packs ready, % of slots")
    axes.set_ylim(top=100.5)
    axes.legend(loc="lower left")
    _hours(axes, "end of the hour")
    return figure


def day_distribution(day: dict[str, Any]) -> Figure:
    """Draw the swaps of each station beside what is published."""
    found, published = day["figures"], day["figures"]["published"]
    swaps = found["swaps_a_station"]
    figure, axes = plt.subplots(figsize=(WIDE, LOW + 0.4))
    # Logarithmic, as the distribution is, so that the maxima fit beside it.
    edges = [4 * 1.25**step for step in range(23)]
    axes.hist(swaps, bins=edges, color=SKY, edgecolor="white", linewidth=0.6)
    axes.set_xscale("log")
    axes.set_xlim(4, 620)
    top = axes.get_ylim()[1] * 1.42
    axes.set_ylim(0, top)
    marks = [
        (published["mean"], f"published\nmean {published['mean']:.0f}", BLUE, "-", "right"),
        (published["holiday_mean"], f"holiday\nmean {published['holiday_mean']}", BLUE, "--", "left"),
        (published["busiest"], f"busiest\n{published['busiest']}", RED, "-", "left"),
        (published["gogoro_mean"], f"Gogoro\nmean {published['gogoro_mean']}", GREEN, "-", "right"),
    ]
    for value, text, colour, style, side in marks:
        axes.axvline(value, color=colour, linestyle=style, linewidth=1.4)
        _beside(axes, value, 0.99 * top, text, colour, side)
    for name, most in published["most"].items():
        axes.axvline(most, color=GREY, linestyle=":", linewidth=1.4)
        axes.text(most / 1.015, 0.02 * top, f" generation {name}: {most} at most", color="#555555", rotation=90,
                  ha="right", va="bottom", fontsize=8)  # fmt: skip
    axes.set_xticks([5, 10, 20, 50, 100, 200, 500])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    axes.set_xlabel("swaps a station and day (logarithmic)")
    axes.set_ylabel(f"stations of {len(swaps)}")
    return figure


def day_scenarios(day: dict[str, Any]) -> Figure:
    """Draw the packs ready by hour in every scenario, beside the normal day."""
    figure, axes = plt.subplots(figsize=(WIDE, LOW + 0.3))
    colours = {
        "normal-day": "#222222", "holiday-peak": ORANGE, "grid-outage": RED, "broken-charger": PURPLE,
        "heat-wave": GREEN,
    }  # fmt: skip
    for name, found in day["figures"]["scenarios"].items():
        ready = [100 * hour["ready"] for hour in found["hours"]]
        normal = name == "normal-day"
        axes.plot(HOURS, ready, color=colours.get(name, GREY), linewidth=2.2 if normal else 1.4,
                  linestyle="--" if normal else "-", zorder=3 if normal else 2,
                  label=f"{name.replace('-', ' ')}: {found['mean']:.1f} swaps a station")  # fmt: skip
    axes.set_ylabel("packs ready, % of slots")
    axes.set_ylim(top=100.5)
    axes.legend(loc="lower left", fontsize=9)
    _hours(axes, "end of the hour")
    return figure


def fleet(result: dict[str, Any]) -> Figure:
    """Draw the publishes a CPU second of each generator, as a share of the simulator's."""
    found = result["figures"]
    figure, both = plt.subplots(1, 2, figsize=(WIDE + 1.2, LOW + 0.6), sharex=True)
    for axes, how, title in zip(both, ("tcp", "mtls"), ("TCP", "mutual TLS"), strict=True):
        rows = sorted(found[how], key=lambda row: row["a_core"])
        ours = next(row["a_core"] for row in rows if row["name"] == "simulator")
        shares = [row["a_core"] / ours for row in rows]
        bars = axes.barh(
            [f"{row['name']} ({row['language']})" for row in rows], shares,
            color=[BLUE if row["name"].startswith("simulator") else SKY for row in rows],
        )  # fmt: skip
        axes.bar_label(bars, [f"{share:.2f}" for share in shares], padding=3, fontsize=9)
        axes.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_title(title)
        axes.set_xlabel("publishes a CPU second,\nsimulator = 1")
        axes.margins(x=0.16)
        axes.tick_params(axis="y", length=0, labelsize=9)
    return figure


def connections(result: dict[str, Any]) -> Figure:
    """Draw what a connection costs, and who held all."""
    rows = result["figures"]["connect_tcp"]
    names = [
        row["name"] + ("" if row["connected"] >= row["asked"] else f"\nheld {row['connected']:,}")
        for row in rows
    ][::-1]
    figure, both = plt.subplots(1, 2, figsize=(WIDE + 0.6, 1.2 + 0.42 * len(rows)), sharey=True)
    for axes, key, label in zip(
        both, ("cpu_milliseconds", "kib"), ("CPU a connection, ms", "memory a connection, KiB"), strict=True
    ):
        values = [max(0.0, row[key]) for row in rows][::-1]
        colours = [
            GREY if row["connected"] < row["asked"] else BLUE if row["name"].startswith("simulator") else SKY
            for row in rows
        ][::-1]
        bars = axes.barh(names, values, color=colours)
        axes.bar_label(bars, [f"{value:.0f}" if key == "kib" else f"{value:.2f}" for value in values], padding=3,
                       fontsize=9)  # fmt: skip
        axes.set_xlabel(label)
        axes.margins(x=0.16)
        axes.tick_params(axis="y", length=0)
    return figure


def pipeline(result: dict[str, Any]) -> Figure:
    """Draw offered against stored a second, until a path keeps up no more."""
    found = result["figures"]
    figure, axes = plt.subplots(figsize=(WIDE, LOW + 0.4))
    paths = list(dict.fromkeys(step["path"] for step in found["steady"]))
    most = max(step["offered"] for step in found["steady"])
    axes.plot([0, most * 1.05], [0, most * 1.05], color=GREY, linewidth=0.8, linestyle=":")
    axes.text(most * 0.42, most * 0.45, "all of it", color="#555555", fontsize=9, ha="right")
    for path in paths:
        ours = path == "the testbed"
        steps = sorted(
            (step for step in found["steady"] if step["path"] == path), key=lambda step: step["offered"]
        )
        # What had not left the queue when publishing ended was not carried in that time.
        carried = [
            step["published"] - max(0.0, step["waiting"] - step["offered"] * step["window"]) / step["seconds"]
            for step in steps
        ]
        colour = BLUE if ours else ORANGE
        offered = [step["offered"] for step in steps]
        axes.plot(offered, carried, color=colour, linewidth=1.4, label=path)
        for step, x, y in zip(steps, offered, carried, strict=True):
            axes.plot(x, y, marker="o", markersize=6, color=colour, markeredgecolor=colour,
                      markerfacecolor=colour if step["kept_up"] else "white")  # fmt: skip
    held = found["held"]
    axes.axvline(held["offered"], color=BLUE, linewidth=1, linestyle="--")
    axes.text(held["offered"], most * 0.04, f"held {held['offered']:,}/s for {held['seconds']:.0f} s: "
              f"{found['ratio']:.2f} times the other's best ", color=BLUE, ha="right", fontsize=9)  # fmt: skip
    axes.set_xlim(0, most * 1.05)
    axes.set_ylim(0, most * 1.08)
    axes.set_xlabel("offered, messages/s   (hollow: did not keep up)")
    axes.set_ylabel("carried, messages/s")
    axes.legend(loc="upper left")
    return figure


def growth(result: dict[str, Any]) -> Figure:
    """Draw CPU of each part, memory, latency and connect rate by the fleet's size."""
    steps = result["figures"]["steps"]
    sizes = [step["stations"] for step in steps]
    figure, grid = plt.subplots(2, 2, figsize=(WIDE + 0.8, 5.6))
    parts = (
        ("simulator", BLUE),
        ("broker", ORANGE),
        ("bridge", GREEN),
        ("emulator", RED),
        ("functions", PURPLE),
    )
    cpu, memory, latency, connects = grid.flat
    for part, colour in parts:
        cpu.plot(sizes, [100 * step["cpu"][part] for step in steps], color=colour, marker="o", markersize=4,
                 label=part)  # fmt: skip
        memory.plot(sizes, [step["memory"][part] for step in steps], color=colour, marker="o", markersize=4)
    cpu.set_ylabel("CPU, % of a core")
    cpu.legend(fontsize=8)
    memory.set_ylabel("memory, MiB")
    for key, text, style in (("latency_p50", "p50", "-"), ("latency_p99", "p99", "--")):
        latency.plot(sizes, [1000 * step[key] for step in steps], color=BLUE, linestyle=style, marker="o",
                     markersize=4, label=text)  # fmt: skip
    latency.set_ylabel("publish to stored, ms")
    latency.legend(fontsize=8)
    connects.plot(sizes, [step["connect_rate"] for step in steps], color=BLUE, marker="o", markersize=4)
    connects.axhline(result["scale"]["ramp"], color=GREY, linewidth=0.8, linestyle=":")
    connects.set_ylabel("connects/s (dotted: asked for)")
    for axes in grid.flat:
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
        axes.set_xlabel("stations")
    return figure


def _hours(axes: Axes, label: str = "hour of the day") -> None:
    first = 0 if label == "hour of the day" else 1
    axes.set_xticks(range(2, 24, 3), [f"{hour + first:02}" for hour in range(2, 24, 3)])
    axes.set_xlim(-0.6, 23.6)
    axes.set_xlabel(label)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)


def _beside(axes: Axes, x: float, y: float, text: str, colour: str, side: str) -> None:
    near = 1.04 if side == "left" else 1 / 1.04
    axes.text(x * near, y, text, color=colour, ha=side, va="top", fontsize=8.5)


PLOTS: dict[str, tuple[tuple[str, Callable[[dict[str, Any]], Figure]], ...]] = {
    "day": (
        ("day-swaps", day_swaps), ("day-availability", day_availability), ("day-distribution", day_distribution),
        ("day-scenarios", day_scenarios),
    ),
    "fleet": (("fleet", fleet),),
    "open-mqtt": (("connections", connections),),
    "pipeline-embedded": (("pipeline-embedded", pipeline),),
    "growth": (("growth", growth),),
}  # fmt: skip


def main(results: Path, images: Path) -> None:
    """Draw whatever there is a result of."""
    for name, plots in PLOTS.items():
        path = results / f"{name}.json"
        if not path.is_file():
            continue
        result = json.loads(path.read_text())
        for image, draw in plots:
            figure = draw(result)
            figure.savefig(images / f"{image}.svg", metadata={"Date": None, "Creator": None})
            plt.close(figure)
            print(images / f"{image}.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
