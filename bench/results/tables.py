"""Make the Markdown that the documentation shows of the results, a block for each name, ratios first."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.day import markdown

Result = Mapping[str, Any]

_PARTS = ("simulator", "broker", "bridge", "emulator", "functions")


def provenance(result: Result) -> str:
    """Return the first line of every block: which command, when and on what."""
    machine = result["machine"]
    load = (
        f"load average {machine['load_before']:g} before and {machine['load_after']:g} after"
        if machine["load_before"] is not None
        else "load average not kept"
    )
    note = f" {result['note']}" if result.get("note") else ""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version)
    return (
        f"`{result['command']}`, {result['measured_at'][:10]}: {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['architecture']}, {load}; {versions}.{note}"
    )


def fleet(result: Result) -> str:
    """Return what a publish costs."""
    found = result["figures"]
    tcp, mtls = found["tcp"], found["mtls"]
    rows = [
        (f"simulator to the best peer in Python ({_best(tcp, 'Python')['name']})", "Python"),
        (
            f"simulator to the best in any language ({_best(tcp, None)['name']}, {_best(tcp, None)['language']})",
            None,
        ),
    ]
    by_mtls = {row["name"]: row for row in mtls}
    return _blocks(
        provenance(result),
        _table(
            ("ratio of publishes/s a core", "TCP", "mutual TLS"),
            ([text, *(f"**{_ratio(rows, language):.2f}**" for rows in (tcp, mtls))] for text, language in rows),
        ),
        _table(
            ("", "language", "TCP: a core", "TCP: µs of CPU", "mTLS: a core", "mTLS: µs of CPU"),
            (
                [
                    _ours(row), row["language"], *_publishing(row), *_publishing(by_mtls.get(row["name"])),
                ]
                for row in sorted(tcp, key=lambda row: -row["a_core"])
            ),
        ),
        _left_out(found),
    )  # fmt: skip


def connections(result: Result) -> str:
    """Return the suite's conn-tcp-10k-100, and the same over mutual TLS."""
    found, scale = result["figures"], result["scale"]
    blocks = [provenance(result)]
    for how, title in (("connect_tcp", "plain TCP"), ("connect_mtls", "mutual TLS")):
        if not found[how]:
            continue
        blocks.append(f"{found[how][0]['asked']:,} connections at {scale['ramp']:g} a second, {title}:")
        rows = [[
            _ours(row), f"{row['connected']:,}", f"{row['a_second']:.0f}/s", f"{row['cpu_milliseconds']:.2f} ms",
            f"{max(0.0, row['kib']):.0f} KiB", "yes" if row["connected"] >= row["asked"] else f"no: {row['failed']}",
        ] for row in found[how]]  # fmt: skip
        blocks.append(_cheaper(found[how], "CPU a connection", "cpu_milliseconds"))
        heads = ("", "connected", "reached", "CPU a connection", "memory a connection", "held all")
        blocks.append(_table(heads, rows))
    return _blocks(*blocks, _left_out(found))


def fan_in(result: Result) -> str:
    """Return the suite's fan-in 1K-5-1K-1K."""
    found, scale = result["figures"], result["scale"]
    if not found["fan_in"]:
        return "Not in that run."
    rows = [[
        _ours(row), f"{row['published']:,}", f"{row['received']:,}", f"{100 * row['core_share']:.0f} %",
        f"{row['mib']:.0f} MiB",
    ] for row in found["fan_in"]]  # fmt: skip
    return _blocks(
        f"{scale['fan_in']:,} publishers for {scale['fan_in_seconds']} s, in the same run:",
        _cheaper(found["fan_in"], "CPU", "core_share"),
        _table(("", "published", "received by five subscribers", "of a core", "memory"), rows),
    )


def pipeline(result: Result) -> str:
    """Return the deployed pipeline beside ministack's own path."""
    found, held, audit = result["figures"], result["figures"]["held"], result["figures"]["audit"]
    ours, theirs = found["bursts"]
    ceiling, latency, cost = found["ceiling"], found["latency"], found["handler"]
    ratios = [
        [
            f"held for {held['seconds']:.0f} s, to the better of its burst and its steady rate",
            f"**{found['ratio']:.2f}** ({held['offered']:,} messages/s to {ceiling:.0f})",
        ],
        [
            f"burst of {ours['sent']:,}, {_all(ours)} stored",
            f"**{ours['rate'] / theirs['rate']:.2f}** ({ours['rate']:.0f} messages/s to {theirs['rate']:.0f}"
            f"{'' if theirs['stored'] == theirs['sent'] else ', ' + _all(theirs) + ' stored there'})",
        ],
    ]  # fmt: skip
    steps = [[
        step["path"], f"{step['offered']:,}", f"{step['seconds']:g} s", f"{step['published']:,.0f}",
        f"{step['waiting']:,}", "yes" if step["kept_up"] else "no",
    ] for step in (*found["steady"], held)]  # fmt: skip
    return _blocks(
        provenance(result),
        _table(("ratio", ""), ratios),
        f"The audit of all of it: {audit['acknowledged']:,} acknowledged, {audit['acknowledged_archived']:,} archived, "
        f"{audit['missing_count']} missing, {audit['wrong_state_count']} wrong latest states.",
        _table(("path", "offered/s", "for", "published/s", "in the queue at the end", "kept up"), steps),
        f"Latency, publish to visible in the API: p50 {1000 * latency['p50']:.0f} ms, p99 "
        f"{1000 * latency['p99']:.0f} ms, the batching window of 1 s included (on AWS Terraform's window is 5 s).",
        f"The handler alone: {cost['record_microseconds']:.1f} µs of CPU a record to read, check and pack in a batch "
        f"of 1,000 ({cost['record_microseconds'] / cost['json_microseconds']:.1f} times `json.loads` of its body), "
        f"import {cost['import_seconds']:.2f} s with nothing compiled (boto3 alone {cost['boto3_seconds']:.2f}), zip "
        f"{cost['zip_bytes'] / 2**20:.1f} MiB.",
    )  # fmt: skip


def growth(result: Result) -> str:
    """Return how everything grows with the fleet."""
    found, scale = result["figures"], result["scale"]
    steps, audit = found["steps"], found["audit"]
    load = (
        f"{scale['rate']:g} messages a second of every fleet"
        if scale["rate"]
        else f"a message every {scale['interval']:g} s"
    )
    return _blocks(
        provenance(result),
        f"Each size for {scale['seconds']:g} s after all were connected, {load}. The audit of all of it: "
        f"{audit['acknowledged']:,} acknowledged, {audit['acknowledged_archived']:,} archived, "
        f"{audit['missing_count']} missing, {audit['wrong_state_count']} wrong latest states.",
        _table(
            (
                "stations", "connected", "connects/s", "offered/s", "stored/s", "publish to stored, p50", "p99",
                "PUBACK p99", "queue grows", "disconnects",
            ),
            (
                [
                    f"{step['stations']:,}", f"{step['connected']:,}", f"{step['connect_rate']:.0f}",
                    f"{step['offered']:.1f}", f"{step['stored']:.1f}", f"{1000 * step['latency_p50']:.0f} ms",
                    f"{1000 * step['latency_p99']:.0f} ms", f"{step['ack_p99_ms']:.0f} ms",
                    "yes" if step["queue_grows"] else "no", f"{step['disconnects']:,}",
                ]
                for step in steps
            ),
        ),
        "".join(f"{size} stations: {why} " for size, why in found["failed"].items()),
        "CPU in percent of a core, and memory in MiB:",
        _table(
            ("stations", *(f"{part}: CPU" for part in _PARTS), *(f"{part}: MiB" for part in _PARTS)),
            (
                [
                    f"{step['stations']:,}", *(f"{100 * step['cpu'][part]:.1f}" for part in _PARTS),
                    *(f"{step['memory'][part]:.0f}" for part in _PARTS),
                ]
                for step in steps
            ),
        ),
        *_growth_a_station(steps),
    )  # fmt: skip


def _growth_a_station(steps: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what one more station costs; of one size nobody can say."""
    least, *more = steps
    if not more:
        return ()
    return (
        f"A station more costs, from {least['stations']:,} stations on:",
        _table(
            ("stations", "simulator: memory", "simulator: CPU", "broker: memory", "broker: CPU"),
            ([f"{step['stations']:,}", *_each(least, step)] for step in more),
        ),
    )


def connects(result: Result) -> str:
    """Return what a connect costs in every part, beside a bare handshake, and how long the fleet took."""
    fleets = result["figures"]["fleets"]
    parts = ("simulator", "broker", "bridge", "data-plane", "emulator", "functions")
    heads = (
        "stations that",
        "ratio",
        *parts,
        "together",
        "bare handshake",
        "connected in",
        "a second",
        "load average",
    )
    rows = [[
        "listen" if fleet["listens"] else "only speak", f"**{fleet['ratio']:.1f}**",
        *(f"{fleet['milliseconds'][part]:.2f}" for part in parts), f"{fleet['total']:.2f}",
        f"{fleet['handshake']:.2f}", f"{fleet['seconds']:.1f} s", f"{fleet['stations'] / fleet['seconds']:.0f}",
        f"{fleet['load_average']:.1f}",
    ] for fleet in fleets]  # fmt: skip
    return _blocks(
        provenance(result),
        f"{fleets[0]['stations']:,} stations; milliseconds of CPU a connect:",
        _table(heads, rows),
    )


def summary(result: Result) -> str:
    """Return the pipeline's rows of the README."""
    found, held = result["figures"], result["figures"]["held"]
    ours, theirs = found["bursts"]
    latency, audit = found["latency"], found["audit"]
    return _table(("what", "figure", "command"), (
        [
            f"publish to visible in the API, `{found['engine']}`",
            f"p50 {1000 * latency['p50']:.0f} ms, p99 {1000 * latency['p99']:.0f} ms, the batching window of 1 s "
            "included",
            "`make bench`",
        ],
        [
            f"a burst of {ours['sent']:,}, {_all(ours)} stored",
            f"{ours['rate']:,.0f} messages/s; ministack's own rule → SQS → Lambda with a trivial handler "
            f"{theirs['rate']:,.0f} in the same run",
            "`make bench`",
        ],
        [
            f"steady rate, held for {held['seconds']:.0f} s",
            f"{held['offered']:,} messages/s, {found['ratio']:.2f} times ministack's own path; "
            f"{audit['acknowledged']:,} acknowledged in the run, {audit['missing_count']} missing",
            "`make bench`",
        ],
    ))  # fmt: skip


def day(result: Result) -> str:
    """Return a simulated day."""
    return markdown(dict(result)).strip()


@dataclass(frozen=True)
class Block:
    """A block: the result that it shows, what makes its text, and what the plot below it shows, if there is one."""

    result: str
    make: Callable[[Result], str]
    shows: str = ""

    def text(self, result: Result) -> str:
        """Return it in Markdown; plots are named as their results are, and those of Open MQTT after what they show."""
        if not self.shows:
            return self.make(result)
        image = "connections" if self.make is connections else self.result
        return _blocks(self.make(result), f"![{self.shows}](images/{image}.svg)")


BLOCKS = {
    "fleet": Block("fleet", fleet, "Publishes a CPU second of each generator as a share of the simulator's"),
    "connections": Block("open-mqtt", connections, "CPU and memory a connection"),
    "fan-in": Block("open-mqtt", fan_in),
    "pipeline-embedded": Block("pipeline-embedded", pipeline, "Carried against offered messages a second"),
    "pipeline-localstack": Block("pipeline-localstack", pipeline),
    "growth": Block("growth", growth, "CPU, memory, latency and connects by the fleet's size"),
    "connects": Block("connects", connects),
    "growth-rate": Block("growth-rate", growth),
    "summary": Block("pipeline-embedded", summary),
    "day": Block("day", day),
}


def _best(rows: Sequence[Mapping[str, Any]], language: str | None) -> Mapping[str, Any]:
    peers = [
        row
        for row in rows
        if not row["name"].startswith("simulator") and (language is None or row["language"] == language)
    ]
    return max(peers, key=lambda row: row["a_core"], default={"name": "none", "language": "-", "a_core": 0})


def _ratio(rows: Sequence[Mapping[str, Any]], language: str | None) -> float:
    ours = next((row["a_core"] for row in rows if row["name"] == "simulator"), 0)
    return float(ours / best) if (best := _best(rows, language)["a_core"]) else 0.0


def _cheaper(rows: Sequence[Mapping[str, Any]], what: str, key: str) -> str:
    """Return the ratio of what the cheapest peers need to what the simulator does, among those that held all."""
    held = [row for row in rows if row.get("connected", 0) >= row.get("asked", 0) and row[key] > 0]
    ours = next((row for row in held if row["name"] == "simulator"), None)
    lines = []
    for among, language in (("in Python", "Python"), ("in any language", None)):
        peers = [
            row
            for row in held
            if not row["name"].startswith("simulator") and (language is None or row["language"] == language)
        ]
        if ours and peers:
            best = min(peers, key=lambda row: row[key])
            lines.append([
                f"{what}, the best peer {among} ({best['name']}) to the simulator", f"**{best[key] / ours[key]:.2f}**",
            ])  # fmt: skip
    return _table(("ratio", ""), lines) if lines else ""


def _ours(row: Mapping[str, Any]) -> str:
    name: str = row["name"]
    return f"**{name}**" if name.startswith("simulator") else name


def _publishing(row: Mapping[str, Any] | None) -> tuple[str, str]:
    return (f"{row['a_core']:,.0f}", f"{row['cpu_microseconds']:.1f}") if row else ("-", "-")


def _left_out(found: Mapping[str, Any]) -> str:
    if not found["left_out"]:
        return ""
    return "Left out: " + "; ".join(
        f"{name} ({' '.join(why.split())})" for name, why in found["left_out"].items()
    )


def _all(burst: Mapping[str, Any]) -> str:
    return "all" if burst["stored"] >= burst["sent"] else f"{burst['stored']:,}"


def _each(least: Mapping[str, Any], step: Mapping[str, Any]) -> Iterable[str]:
    more = step["stations"] - least["stations"]
    for part in ("simulator", "broker"):
        yield f"{1024 * (step['memory'][part] - least['memory'][part]) / more:.0f} KiB"
        yield f"{1e6 * (step['cpu'][part] - least['cpu'][part]) / more:.0f} µs a second"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _blocks(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)
