"""Lambda packages: the same sources and lock always give the same bytes."""

import hashlib
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from testbed.deploy.project import FunctionTable, Here, project
from testbed.engines.base import Runtime
from testbed.errors import TestbedError
from testbed.host import locks
from testbed.host.environments import uv
from testbed.paths import state_root

# What pip writes about an installation differs from one to the next, and nothing reads it in a Lambda.
_INSTALLATION_NOTES = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}

# The earliest time that a zip entry can carry.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@locks.exclusive("packages")
def build(runtime: Runtime, folder: Path) -> list[str]:
    """Build the project's zips for ``runtime`` in ``folder``: of each function that is not there as it is now.

    Returns:
        The functions that had to be built.

    Raises:
        TestbedError: the dependencies could not be installed, or a command failed.
    """
    here = project()
    functions = {
        name: function
        for name, function in here.described.functions.items()
        if not function.only_with or here.switched_on(function.only_with)
    }
    for name, function in functions.items():
        if function.command:
            _run(here, name, function)
    keys = {name: f"{name} {_key(runtime, here, function)}" for name, function in functions.items()}
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "built-from"
    there = stamp.read_text().splitlines() if stamp.is_file() else None
    changed = [name for name, key in keys.items() if key not in (there or ())]
    for name in changed:
        _build_one(runtime, here, functions[name], folder, folder / f"{name}.zip")
    if changed or there is None:
        stamp.write_text("\n".join(keys.values()))
    return changed


def put(here: Here, packages: Path, copy: Path) -> None:
    """Copy the zips that Terraform looks for in the project into its working copy."""
    for name, function in here.described.functions.items():
        if function.at:
            place = copy / function.at
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(packages / f"{name}.zip", place)


def _build_one(runtime: Runtime, here: Here, function: FunctionTable, folder: Path, target: Path) -> None:
    made = here.folder / function.zip
    if function.zip and made.is_file():
        shutil.copy(made, target)
        return
    trees = [(function.into, here.folder / function.source if function.source else made)]
    if function.requirements:
        trees.insert(0, ("", _dependencies(runtime, here.folder / function.requirements, folder)))
    write_zip(target, trees, {name: here.folder / name for name in function.also})


def _run(here: Here, name: str, function: FunctionTable) -> None:
    """Run the user's own command in the project's folder."""
    try:
        done = subprocess.run(function.command, cwd=here.folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise TestbedError(f"functions.{name}.command cannot be run: {error}.") from error
    if done.returncode or not (here.folder / function.zip).exists():
        said = (done.stderr or done.stdout).strip().splitlines() or [f"it made no {function.zip}"]
        raise TestbedError(f"functions.{name}.command failed ({done.returncode}): {said[-1]}.")


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
            # A list without hashes is the user's choice, and may leave out what its packages need.
            *(("--require-hashes", "--no-deps") if b"--hash" in requirements.read_bytes() else ()),
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


def write_zip(
    target: Path, trees: Sequence[tuple[str, Path]], files: Mapping[str, Path] = MappingProxyType({})
) -> None:
    """Write the files of ``trees`` (prefix in the zip, folder), and ``files``: sorted, without times or permissions.

    Where two have a file of one name, the later one's is taken.
    """
    entries: dict[str, Path] = dict(files)
    for prefix, root in trees:
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


def _key(runtime: Runtime, here: Here, function: FunctionTable) -> str:
    digest = hashlib.sha256(f"{runtime}{function}{Path(__file__).read_text()}".encode())
    root = here.folder / (function.source or function.zip)
    own = sorted(root.rglob("*")) if root.is_dir() else [root]
    for path in [*own, *(here.folder / file for file in function.also)]:
        relative = path.relative_to(root if path.is_relative_to(root) else here.folder)
        if path.is_file() and (path == root or _belongs(relative)):
            digest.update(f"{relative}\0".encode() + path.read_bytes())
    if function.requirements:
        digest.update((here.folder / function.requirements).read_bytes())
    return digest.hexdigest()


def build_packages(runtime: Runtime) -> Path:
    """Build the functions' packages for a local engine, and return their folder."""
    folder = package_folder(runtime)
    build(runtime, folder)
    return folder


def package_folder(runtime: Runtime) -> Path:
    """Return where the functions' packages for a local engine are."""
    platform = runtime.platform or f"here-{runtime.architecture}"
    return state_root() / "packages" / f"{platform}-{runtime.python}"
