"""Finds the Python that LocalStack runs on, or gets one.

On 3.11 LocalStack 4.14.0 says that it is healthy, and then fails; on 3.14 its dependencies are untried.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from testbed.engines.localstack_process import maven
from testbed.errors import TestbedError
from testbed.host.environments import uv

_VERSIONS = ("3.13", "3.12")
# JavaCPP's build of CPython: a whole interpreter with its standard library, which needs glibc and nothing else.
_MAVEN_PYTHON = "org.bytedeco:cpython:3.13.5-1.5.12:jar:linux-x86_64"
_MAVEN_SHA256 = "50ad91aa0baa57f0235bb666b87d8bf2a44e215d28c250de1030502906af143b"
_MAVEN_TREE = "org/bytedeco/cpython/linux-x86_64/"
_MAVEN_GLIBC = (2, 35)


def find_python(folder: Path) -> str:
    """Return a Python 3.12 or 3.13: ours, one on PATH, one of pyenv's, or one fetched into ``folder``.

    Raises:
        TestbedError: there is none, and none can be had.
    """
    for candidate in _installed():
        if _is_good(candidate):
            return candidate
    if _maven_python_runs():
        return from_maven(folder)
    return _from_uv()


def from_maven(folder: Path) -> str:
    """CPython 3.13 from Maven Central, unpacked in ``folder``; for Linux on x86-64.

    Raises:
        TestbedError: it cannot be had, or is not the one that we know.
    """
    program = folder / "bin" / "python3.13"
    if program.is_file() and _is_good(str(program)):
        return str(program)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        maven.copy_artifact(_MAVEN_PYTHON, Path(temporary))
        [jar] = Path(temporary).glob("*.jar")
        if hashlib.sha256(jar.read_bytes()).hexdigest() != _MAVEN_SHA256:
            raise TestbedError(
                f"{_MAVEN_PYTHON} is not the file that we know.", "Install Python 3.13 from elsewhere."
            )
        with zipfile.ZipFile(jar) as archive:
            wanted = [name for name in archive.namelist() if name.startswith(_MAVEN_TREE)]
            archive.extractall(temporary, wanted)
        tree = Path(temporary) / _MAVEN_TREE
        (tree / "bin" / "python3.13").chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        tree.rename(folder)
    if not _is_good(str(program)):
        raise TestbedError("Python 3.13 from Maven Central does not run here.", "Install Python 3.13.")
    return str(program)


def _installed() -> Iterator[str]:
    yield sys.executable
    for version in _VERSIONS:
        if found := shutil.which(f"python{version}"):
            yield found
    roots = [Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"]
    for version in _VERSIONS:
        for root in roots:
            yield from sorted((str(path) for path in root.glob(f"*/bin/python{version}")), reverse=True)


def _is_good(python: str) -> bool:
    """Return whether it runs, is of a version that we want, and is whole: pyenv's stand-ins on PATH may be off."""
    ask = "import sys, ssl, sqlite3, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() in _VERSIONS


def _maven_python_runs() -> bool:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return False
    library, version = platform.libc_ver()
    return library == "glibc" and tuple(int(part) for part in version.split(".")[:2]) >= _MAVEN_GLIBC


def _from_uv() -> str:
    try:
        uv("python", "install", "--quiet", _VERSIONS[0])
    except TestbedError as error:
        raise TestbedError(
            "LocalStack 4.14.0 needs Python 3.12 or 3.13; there is none, and uv cannot fetch one.",
            "Install one (python3.13), or use ENGINE=embedded.",
        ) from error
    found = subprocess.run(
        [sys.executable, "-m", "uv", "python", "find", "--managed-python", _VERSIONS[0]],
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.strip()
