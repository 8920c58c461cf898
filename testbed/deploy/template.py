"""A new project: four files that go up and pass their test."""

from pathlib import Path

from testbed.errors import TestbedError

_TEMPLATE = Path(__file__).resolve().parent.parent / "template"
_NAME = "PROJECT"


def write(folder: Path, name: str) -> list[Path]:
    """Write the files of a new project into ``folder``.

    Returns:
        The files.

    Raises:
        TestbedError: one of them is there already; then nothing is written.
    """
    sources = sorted(path for path in _TEMPLATE.rglob("*.txt"))
    files = {folder / source.relative_to(_TEMPLATE).with_suffix(""): source for source in sources}
    if there := [str(file) for file in files if file.exists()]:
        raise TestbedError(
            f"{', '.join(there)} is there already; nothing was written.", "Choose an empty folder."
        )
    for file, source in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source.read_text().replace(_NAME, name))
    return list(files)
