"""Installs LocalStack's environment, DynamoDB Local, the executor, and Kinesis' server, each once."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from testbed.engines.localstack_process import maven
from testbed.engines.localstack_process.interpreter import find_python
from testbed.errors import TestbedError
from testbed.host import node
from testbed.host.environments import environment
from testbed.paths import state_root

REQUIREMENTS = Path(__file__).parent.parent / "requirements" / "localstack.txt"
_RUNTIME_REQUIREMENTS = Path(__file__).parent / "runtime.txt"
_DYNAMODB_LOCAL = "software.amazon.dynamodb:DynamoDBLocal:3.1.0"
_DYNAMODB_FILES = Path(__file__).parent / "dynamodb-local.sha256"
_DYNAMODB_MAIN = "software.amazon.dynamodb.services.local.main.ServerRunner"
_KINESIS = Path(__file__).parent / "kinesis"
_OLDEST_JAVA = 17


@dataclass(frozen=True)
class LocalStackInstall:
    """Where it is: LocalStack's environment, the functions' environment, and the root of LocalStack's folders."""

    venv: Path
    runtime: Path
    root: Path

    @property
    def libraries(self) -> Path:
        """What LocalStack would download: Java and DynamoDB Local."""
        return self.root / "usr" / "lib" / "localstack"


def install(root: Path | None = None, log: Callable[[str], None] = lambda _: None) -> LocalStackInstall:
    """Install what is not there yet; some milliseconds where all is.

    Args:
        root: The folder of Python, Java's wrapper and DynamoDB Local; ``localstack`` in the state folder by default.
        log: Told in a few words what is being fetched.

    Raises:
        TestbedError: no Python 3.12 or 3.13 can be had, no Java 17+, or no Maven.
    """
    root = root or state_root() / "localstack"
    made = LocalStackInstall(
        venv=state_root() / "venvs" / "localstack", runtime=state_root() / "venvs" / "lambda", root=root
    )
    if not (made.venv / "installed").is_file():
        log("LocalStack 4.14.0 and the Python it needs")
    python = find_python(root / "python")
    environment("localstack", REQUIREMENTS, python=python)
    # Functions must not see LocalStack's packages, whose botocore is older than AWS's runtime has.
    environment("lambda", _RUNTIME_REQUIREMENTS, python=python)
    _install_executor(made)
    install_dynamodb_local(made.libraries, log)
    return made


def python_of(venv: Path) -> str:
    """Return the version of an environment's Python, as 3.13."""
    ask = "import sys; print(f'{sys.version_info.major}.{sys.version_info.minor}')"
    done = subprocess.run(
        [str(venv / "bin" / "python"), "-c", ask], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _install_executor(made: LocalStackInstall) -> None:
    """Put the executor among LocalStack's packages, where its plugin manager finds it by the entry point."""
    [packages] = made.venv.glob("lib/python3.*/site-packages")
    here = Path(__file__).parent
    contents = {
        "testbed_lambda_executor.py": (here / "executor.py").read_text(),
        "testbed_lambda_worker.py": (here / "worker.py").read_text(),
        "testbed_lambda_python": f"{made.runtime / 'bin' / 'python'}\n",
        "testbed_lambda_executor-1.dist-info/METADATA": (
            "Metadata-Version: 2.1\nName: testbed-lambda-executor\nVersion: 1\n"
        ),
        "testbed_lambda_executor-1.dist-info/entry_points.txt": (
            "[localstack.lambda.runtime_executor]\nprocess = testbed_lambda_executor:ProcessExecutorPlugin\n"
        ),
        "testbed_lambda_executor-1.dist-info/RECORD": "",
    }
    for name, content in contents.items():
        path = packages / name
        if not path.is_file() or path.read_text() != content:
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)


def install_dynamodb_local(libraries: Path, log: Callable[[str], None]) -> None:
    """Lay out DynamoDB Local as LocalStack's installer would leave it, with a Java that runs it."""
    marker = libraries / "dynamodb-local" / "2" / "DynamoDBLocal.jar"
    java = libraries / "java" / "21" / "bin" / "java"
    jars = marker.parent / "DynamoDBLocal_lib"
    real_java = _find_java()
    if not jars.is_dir():
        log("DynamoDB Local, from Maven Central")
        partial = marker.parent / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        maven.copy_with_dependencies(_DYNAMODB_LOCAL, partial)
        check_sums(partial, _DYNAMODB_FILES)
        partial.rename(jars)
    # LocalStack starts "java -javaagent:... -jar .../DynamoDBLocal.jar ARGUMENTS". The agent raises the number of
    # indexes and is not to be had; the jar is one that carries its dependencies. So our "java" starts the class.
    script = (
        "#!/bin/sh\n"
        "# Written by the testbed: DynamoDB Local from Maven Central, in place of LocalStack's download.\n"
        'while [ $# -gt 0 ] && [ "$1" != "-jar" ]; do\n'
        '    case "$1" in -X*) options="$options $1" ;; esac\n'
        "    shift\n"
        "done\n"
        "shift 2\n"
        # It must not outlive a LocalStack that was killed.
        "setpriv --pdeathsig KILL true 2>/dev/null && guard='setpriv --pdeathsig KILL'\n"
        f'exec $guard "{real_java}" $options "-Djava.library.path={jars}" -cp "{jars}/*" {_DYNAMODB_MAIN} "$@"\n'
    )
    java.parent.mkdir(parents=True, exist_ok=True)
    if not java.is_file() or java.read_text() != script:
        java.write_text(script)
        java.chmod(0o755)
    (marker.parent / "ddb-local-loader-0.1.jar").touch()
    marker.touch()


def install_kinesis(libraries: Path) -> None:
    """Lay out the server behind LocalStack's Kinesis as LocalStack's installer would leave it.

    LocalStack itself would have npm fetch it with the first stream, by version and without a hash.

    Raises:
        TestbedError: Node.js or npm is missing, or no registry gave the packages.
    """
    if not shutil.which("node"):
        raise TestbedError(
            "Kinesis on LocalStack needs Node.js, and there is no node on PATH.",
            "Install it (Debian: sudo apt-get install nodejs npm), or use ENGINE=embedded.",
        )
    [(name, version)] = json.loads((_KINESIS / "package.json").read_text())["dependencies"].items()
    place = libraries / name / version
    installed = node.packages("localstack-kinesis", _KINESIS)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        place.unlink()
    place.symlink_to(installed)


def check_sums(folder: Path, sums: Path) -> None:
    """Hold what is in a folder against a list of SHA-256 sums, as ``sha256sum`` writes it: Maven locks no hashes.

    Raises:
        TestbedError: a file is there that is not listed, or has other content, or a listed one is not there.
    """
    listed = {name: digest for digest, name in (line.split() for line in sums.read_text().splitlines())}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    if wrong := sorted(name for name, _ in listed.items() ^ found.items()):
        raise TestbedError(
            f"{wrong[0]} from Maven Central is not the file that is known.",
            f"Find out why it differs from {sums.name}; until then, use ENGINE=embedded.",
        )


def _find_java() -> str:
    found = shutil.which("java")
    if found:
        said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
        version = said.split('"')[1].split(".")[0] if '"' in said else "0"
        if version.isdigit() and int(version) >= _OLDEST_JAVA:
            return found
    raise TestbedError(
        f"LocalStack's DynamoDB needs Java {_OLDEST_JAVA} or newer, and there is none on PATH.",
        "Install one (apt-get install openjdk-17-jre-headless), or use ENGINE=embedded.",
    )
