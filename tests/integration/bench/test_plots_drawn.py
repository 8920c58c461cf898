"""The plots in docs/images are those of the results in docs/results, to the byte."""

from pathlib import Path

from bench.results import documentation


def test_drawn_again_the_plots_are_the_same(tmp_path: Path) -> None:
    documentation.draw(tmp_path, print)
    drawn = sorted(tmp_path.glob("*.svg"))
    assert drawn
    for path in drawn:
        assert path.read_bytes() == (documentation.IMAGES / path.name).read_bytes(), (
            f"{path.name} differs: make docs"
        )
