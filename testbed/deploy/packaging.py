"""Lambda packages: the same sources and lock always give the same bytes."""

import hashlib
import shutil
import tempfile
import zipfile
from pathlib import Path

from testbed.engines.base import Runtime
from testbed.host import locks
from testbed.host.environments import uv
from testbed.paths import FUNCTIONS, state_root

# Each function's locked dependencies.
_REQUIREMENTS = {
    "telemetry_handler": "requirements.txt",
    "api_handler": "requirements.txt",
    "api_authorizer": "requirements-authorizer.txt",
}
FUNCTION_NAMES = tuple(_REQUIREMENTS)

# What pip writes about an installation differs from one to the next, and nothing reads it in a Lambda.
_INSTALLATION_NOTES = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}

# The earliest time that a zip entry can carry.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@locks.exclusive("packages")
def build(runtime: Runtime, folder: Path) -> list[str]:
    """Build the zips for ``runtime`` in ``folder``: of each function that is not there as its sources are now.

    Returns:
        The functions that had to be built.

    Raises:
        TestbedError: the dependencies could not be installed.
    """
    keys = {name: f"{name} {_key(runtime, name)}" for name in FUNCTION_NAMES}
    stamp = folder / "built-from"
    there = stamp.read_text().splitlines() if stamp.is_file() else []
    changed = [name for name, key in keys.items() if key not in there]
    for name in changed:
        dependencies = _dependencies(runtime, FUNCTIONS / _REQUIREMENTS[name], folder)
        write_zip(folder / f"{name}.zip", {name: FUNCTIONS / name, "": dependencies})
    if changed:
        stamp.write_text("\n".join(keys.values()))
    return changed


def _dependencies(runtime: Runtime, requirements: Path, folder: Path) -> Path:
    """Return a folder with the packages of a lock; installed once, for the sources change more often than it."""
    key = hashlib.sha256(f"{runtime}".encode() + requirements.read_bytes()).hexdigest()[:16]
    installed = folder / "dependencies" / key
    if installed.is_dir():
        return installed
    installed.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        where = ("--python-platform", runtime.platform) if runtime.platform else ()
        uv(
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--link-mode",
            "copy",
            "--python-version",
            runtime.python,
            *where,
            "--target",
            str(Path(temporary) / key),
            "-r",
            str(requirements),
        )
        (Path(temporary) / key).rename(installed)
    return installed


def write_zip(target: Path, trees: dict[str, Path]) -> None:
    """Write the files of ``trees`` (prefix in the zip -> folder): sorted, without times or permissions."""
    entries: dict[str, Path] = {}
    for prefix, root in trees.items():
        for path in root.rglob("*"):
            relative = path.relative_to(root)
            if path.is_file() and _belongs(relative):
                entries[(Path(prefix) / relative).as_posix()] = path
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(entries):
            entry = zipfile.ZipInfo(name, _ZIP_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # Unix, wherever it is built
            archive.writestr(entry, entries[name].read_bytes())
    shutil.move(partial, target)


def _belongs(path: Path) -> bool:
    if "__pycache__" in path.parts or path.suffix == ".pyc" or path.parts[0] == "bin":
        return False
    return not (path.parent.name.endswith(".dist-info") and path.name in _INSTALLATION_NOTES)


def _key(runtime: Runtime, name: str) -> str:
    digest = hashlib.sha256(f"{runtime}{Path(__file__).read_text()}".encode())
    sources = [path for path in (FUNCTIONS / name).rglob("*") if path.is_file()]
    for path in sorted([*sources, FUNCTIONS / _REQUIREMENTS[name]]):
        if _belongs(path.relative_to(FUNCTIONS)):
            digest.update(f"{path.relative_to(FUNCTIONS)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def build_packages(runtime: Runtime) -> Path:
    """Build the functions' packages for a local engine, and return their folder."""
    platform = runtime.platform or f"here-{runtime.architecture}"
    folder = state_root() / "packages" / f"{platform}-{runtime.python}"
    build(runtime, folder)
    return folder
