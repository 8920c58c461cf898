"""Write the results into the documentation: tables between markers, plots beside them.

A block begins with the line ``<!-- results: NAME -->`` and ends with ``<!-- end of results -->``. Its text is made from
docs/results by `make docs`, and a unit test holds that it is what the JSON says: nobody mends it by hand.
"""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from bench.results import document
from bench.results.tables import BLOCKS
from testbed.errors import TestbedError
from testbed.host.environments import environment
from testbed.paths import REPOSITORY

PAGES = (
    REPOSITORY / "docs" / "performance.md",
    REPOSITORY / "docs" / "simulator.md",
)
IMAGES = REPOSITORY / "docs" / "images"
NOT_YET = "Not measured yet."
_BLOCK = re.compile(r"(<!-- results: ([a-z-]+) -->\n)(.*?)(<!-- end of results -->)", re.DOTALL)
_DRAW = Path(__file__).with_name("draw.py")
_PLOTS = Path(__file__).with_name("plots.txt")


def rendered(page: str, results: Path = document.KEPT) -> str:
    """Return a page with every block made anew; one whose result is not kept says so.

    Raises:
        TestbedError: a block's name is not known, or its result is not one.
    """

    def block(found: re.Match[str]) -> str:
        begin, name, _, end = found.groups()
        if name not in BLOCKS:
            raise TestbedError(f"There is no block of results {name}.", f"Known: {', '.join(BLOCKS)}")
        path = results / f"{BLOCKS[name].result}.json"
        text = BLOCKS[name].text(document.read(path)) if path.is_file() else NOT_YET
        return f"{begin}{text}\n{end}"

    return _BLOCK.sub(block, page)


def blocks(page: str) -> list[str]:
    """Return the names of a page's blocks."""
    return [found[1] for found in _BLOCK.findall(page)]


def keep(measured: Path = document.MEASURED, kept: Path = document.KEPT) -> list[Path]:
    """Take what the benchmarks wrote into the documentation's results, and return what was taken.

    Raises:
        TestbedError: a file is no result, or there is none.
    """
    found = sorted(measured.glob("*.json"))
    if not found:
        raise TestbedError(f"There is nothing in {measured}.", "Measure first: make bench")
    for path in found:
        document.read(path)
    kept.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(path, kept / path.name)) for path in found]


def run(say: Callable[[str], None]) -> None:
    """Write the tables and draw the plots of all results that are kept.

    Raises:
        TestbedError: a result is missing or wrong, or the plots could not be drawn.
    """
    for page in PAGES:
        old = page.read_text()
        new = rendered(old)
        if new != old:
            page.write_text(new)
            say(f"{page.relative_to(REPOSITORY)}: {', '.join(blocks(new))}")
    draw(IMAGES, say)


def draw(images: Path, say: Callable[[str], None], results: Path = document.KEPT) -> None:
    """Draw every plot there is a result of.

    Raises:
        TestbedError: matplotlib cannot be installed, or the drawing failed.
    """
    images.mkdir(parents=True, exist_ok=True)
    python = environment("plots", _PLOTS) / "bin" / "python"
    done = subprocess.run(
        [str(python), str(_DRAW), str(results), str(images)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise TestbedError(
            f"The plots could not be drawn: {done.stderr.strip().splitlines()[-1]}", str(_DRAW)
        )
    for line in done.stdout.splitlines():
        say(line)
