"""Takes out of a configuration what `terraform.leave_out` names: what a local target can do without."""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from testbed.deploy.airgap.hcl import Json, resources
from testbed.errors import TestbedError


def leave_out(modules: dict[str, Json], addresses: Sequence[str]) -> None:
    """Take resources, modules, data sources, outputs and arguments out, and what merely names them.

    Args:
        modules: each module's configuration by its address: ``""`` is the root's, then ``module.iot.``, outer before
            inner; of two calls of one folder the first.
        addresses: as ``aws_amplify_app.site``, ``module.hosting``, ``data.http.ca``, ``aws_iot_policy.sensor.tags``
            and ``module.iot.aws_iot_policy.sensor.tags``; ``*`` in place of a part, or of some of its letters.

    Raises:
        TestbedError: one is not there, or something else needs it.
    """
    if not addresses:
        return
    found: set[str] = set()
    needing: list[str] = []
    lost: set[str] = set()
    for module in reversed(modules):
        configuration = modules[module]
        own = {each.removeprefix(module): each for each in addresses if each.startswith(module)}
        gone, matched = _take_out(configuration, list(own))
        found |= {own[each] for each in matched}
        gone |= {each.removeprefix(module) for each in lost if each.startswith(module)}
        if not gone:
            continue
        names = re.compile("|".join(rf"(?<![\w.-]){re.escape(each)}(?![\w-])" for each in sorted(gone)))
        lost |= {f"{module.removesuffix('.')}.{output}" for output in _forget(configuration, names)}
        needing += [f"{module}{each}" for each in _needing(configuration, names)]
    if missing := set(addresses) - found:
        raise TestbedError(f"terraform.leave_out names {', '.join(sorted(missing))}, which is not there.")
    if needing:
        raise TestbedError(
            f"terraform.leave_out leaves out what these need: {', '.join(needing)}.", "Leave them out, too."
        )


def _take_out(merged: Json, patterns: list[str]) -> tuple[set[str], set[str]]:
    """Take out what the patterns name; return the addresses of what is gone whole, and the patterns that were right."""
    gone, matched = set(), set()
    for address, holder, name in list(_things(merged)):
        parts = address.split(".")
        for pattern in patterns:
            wanted = pattern.split(".")
            if not _alike(parts, wanted[: len(parts)]):
                continue
            if len(wanted) == len(parts):
                holder.pop(name, None)
                gone.add(address)
                matched.add(pattern)
            elif name in holder and _take_argument(holder[name], wanted[len(parts) :]):
                matched.add(pattern)
    return gone, matched


def _things(merged: Json) -> Iterator[tuple[str, Json, str]]:
    """Yield the address of each resource, data source, module and output, and the table and key that hold it."""
    for section in ("module", "output"):
        for block in merged.get(section, []):
            for name in block:
                yield f"{section}.{name}", block, name
    for section, prefix in (("resource", ""), ("data", "data.")):
        for block in merged.get(section, []):
            for kind, named in block.items():
                for name in named:
                    yield f"{prefix}{kind}.{name}", named, name


def _take_argument(body: Json, path: list[str]) -> bool:
    """Take an argument, or one of its blocks, out of a body; return whether it was there."""
    first, *rest = path
    holders = [body, *body.get("dynamic", [])]
    taken = False
    for holder in holders:
        for name in [name for name in holder if fnmatchcase(name, first)]:
            if not rest:
                del holder[name]
                taken = True
                continue
            blocks = holder[name] if holder is body else holder[name]["content"]
            for block in blocks if isinstance(blocks, list) else [blocks]:
                taken = (isinstance(block, dict) and _take_argument(block, rest)) or taken
    return taken


def _alike(parts: list[str], wanted: list[str]) -> bool:
    return len(parts) == len(wanted) and all(
        fnmatchcase(part, each) for part, each in zip(parts, wanted, strict=True)
    )


def _forget(merged: Json, names: re.Pattern[str]) -> list[str]:
    """Take out outputs and ``depends_on`` that name what is gone; return the names of the outputs."""
    forgotten = []
    for block in merged.get("output", []):
        for name in [name for name, output in block.items() if names.search(f"{output}")]:
            forgotten.append(name)
            del block[name]
    bodies = [body for kind in ("resource", "data") for _, _, body in resources(merged.get(kind, []))]
    for body in [*bodies, *(call for block in merged.get("module", []) for call in block.values())]:
        if "depends_on" in body:
            body["depends_on"] = [each for each in body["depends_on"] if not names.search(each)]
    return forgotten


def _needing(merged: Json, names: re.Pattern[str]) -> list[str]:
    """Return the addresses of what still names what is gone."""
    needing = [address for address, holder, name in _things(merged) if names.search(f"{holder[name]}")]
    return needing + [
        f"local.{name}"
        for block in merged.get("locals", [])
        for name, value in block.items()
        if names.search(f"{value}")
    ]
