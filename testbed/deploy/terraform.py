"""Runs Terraform: finds it, chooses how providers come, applies, reads outputs, destroys."""

import difflib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Collection, Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import boto3

from testbed.deploy.progress import Progress
from testbed.deploy.project import project
from testbed.deploy.providers import Json, Providers
from testbed.deploy.state import OVERRIDE
from testbed.errors import TestbedError
from testbed.host import emulated
from testbed.host.processes import NO_ACCOUNT
from testbed.paths import PROJECT_FILE, REPOSITORY
from testbed.say import Say

# Terraform's first error, and where it is, if it says so.
_ERROR = re.compile(r"^Error: (.*)(?:\n\n(?:  with .*\n)?  (on .*?):?$)?", re.MULTILINE)

# What a lost connection to an AWS API says in Terraform's error: the call may have been carried out, and nothing is
# wrong with the configuration. Seen with hashicorp/aws 5.46 (three in 32,000 calls, none in 32,000 by today's SDK).
_LOST_CONNECTION = re.compile(
    r"use of closed network connection|connection reset by peer|unexpected EOF|broken pipe"
    r"|server closed idle connection"
)

# Where each program looks for providers that are named without a host.
_REGISTRIES = {"terraform": "registry.terraform.io", "tofu": "registry.opentofu.org"}

# Terraform reads it after terraform.tfvars, and what is in alphabet's order the last wins.
_OVERRIDES = "environment.auto.tfvars"
_OWN = "zz-testbed.auto.tfvars.json"

# Takes the place of whatever backend the configuration has: a local target keeps its state itself.
# (https://developer.hashicorp.com/terraform/language/files/override, "Merging terraform Blocks")

# Go's garbage collection is a third of what Terraform and its provider do here; with more room it runs less often.
# (https://pkg.go.dev/runtime, "Environment Variables"; what the user sets comes first.)
_MEMORY = {"GOGC": "400", "GOMEMLIMIT": "2GiB"}

# How long Terraform may take to finish what is in flight.
_INTERRUPT_SECONDS = 30


class Backend(Protocol):
    """A place for Terraform's state."""

    def write_backend(self, folder: Path) -> None:
        """Write Terraform's backend block into ``folder``."""


@dataclass(frozen=True)
class Cloud:
    """Where Terraform applies to.

    ``endpoint`` and ``iot_endpoint`` are a local engine's URLs, None on AWS, whose credentials and
    endpoints are the user's own.
    """

    region: str
    endpoint: str | None = None
    iot_endpoint: str | None = None

    def session(self) -> boto3.Session:
        """Return a boto3 session for it."""
        if self.endpoint is None:
            return boto3.Session(region_name=self.region)
        return emulated.session(self.region)


def find() -> str:
    """Return the path of Terraform, or else of OpenTofu, on PATH.

    It is never installed from here: whoever holds a package's name would run code with the user's credentials.

    Raises:
        TestbedError: neither is there.
    """
    for program in _REGISTRIES:
        if found := shutil.which(program):
            return found
    raise TestbedError(
        "Neither Terraform nor OpenTofu is on PATH.",
        "Install Terraform 1.5 or newer (https://developer.hashicorp.com/terraform/install) "
        "or OpenTofu (https://opentofu.org/docs/intro/install).",
    )


def require(program: str, minimum: tuple[int, int], why: str) -> None:
    """Check the version of Terraform or OpenTofu.

    Raises:
        TestbedError: it is older than ``minimum``.
    """
    done = subprocess.run([program, "version", "-json"], capture_output=True, text=True, check=True)
    version = json.loads(done.stdout)["terraform_version"]
    if tuple(int(part) for part in version.split(".")[:2]) < minimum:
        wanted = ".".join(map(str, minimum))
        raise TestbedError(f"{program} is {version}: {why} wants {wanted} or newer.", f"Install {wanted}.")


def overrides(defaults: str, environment: Mapping[str, str], *, ours: Container[str] = ()) -> str:
    """Write the variables that ``defaults`` sets and ``environment`` sets, too, as a .tfvars file.

    By itself Terraform takes a .tfvars file before TF_VAR_..., so a user's TF_VAR_monthly_budget_usd would do nothing.
    (https://developer.hashicorp.com/terraform/language/values/variables, "Variable Definition Precedence")

    Args:
        defaults: a .tfvars file's text.
        environment: the process's.
        ours: names that the testbed itself sets.
    """
    lines = []
    for name in re.findall(r"^(\w+)\s*=", defaults, re.MULTILINE):
        value = environment.get(f"TF_VAR_{name}")
        if value is not None and name not in ours:
            # As Terraform reads TF_VAR_...: lists and maps are expressions, all else is text that it converts.
            text = (
                value
                if value.lstrip()[:1] in ("[", "{")
                else json.dumps(value).replace("${", "$${").replace("%{", "%%{")
            )
            lines.append(f"{name} = {text}\n")
    return "".join(lines)


def check_names(environment: Mapping[str, str], declared: Collection[str], say: Say) -> None:
    """Refuse a TF_VAR_... whose name is a variable's, misspelt; say of any other that it does nothing.

    Terraform passes over both in silence: those of other projects are in many a shell.
    (https://developer.hashicorp.com/terraform/language/values/variables, "Values for Undeclared Variables")

    Args:
        environment: the process's.
        declared: the names of the configuration's variables.
        say: prints a line.

    Raises:
        TestbedError: a name is nearly one of them.
    """
    given = {name.removeprefix("TF_VAR_") for name in environment if name.startswith("TF_VAR_")}
    for name in sorted(given - set(declared)):
        if near := difflib.get_close_matches(name, declared, n=1, cutoff=0.8):
            raise TestbedError(
                f"TF_VAR_{name}: Terraform's configuration has no variable of that name.",
                f"Did you mean TF_VAR_{near[0]}? Else unset it.",
            )
        say(f"TF_VAR_{name} is of no variable here, and does nothing.")


def is_set(name: str, defaults: Path) -> bool:
    """Return whether the user sets a variable, by TF_VAR_... or in the .tfvars file ``defaults``."""
    text = defaults.read_text() if defaults.is_file() else ""
    return f"TF_VAR_{name}" in os.environ or bool(re.search(rf"^{name}\s*=", text, re.MULTILINE))


def switched_on(name: str, defaults: Path) -> bool:
    """Return whether the user switches a variable on that is off by default."""
    given = os.environ.get(f"TF_VAR_{name}")
    if given is not None:
        return given.lower() in ("true", "1")
    text = defaults.read_text() if defaults.is_file() else ""
    return bool(re.search(rf"^{name}\s*=\s*true\b", text, re.MULTILINE))


def chosen(name: str, defaults: Path, otherwise: str) -> str:
    """Return a variable's value as the user sets it, by TF_VAR_... or in the .tfvars file ``defaults``."""
    text = defaults.read_text() if defaults.is_file() else ""
    in_file = re.search(rf'^{name}\s*=\s*"?(\[.*\]|[^"\n]*?)"?\s*$', text, re.MULTILINE)
    return os.environ.get(f"TF_VAR_{name}") or (in_file[1] if in_file else otherwise)


def fingerprint(variables: Mapping[str, Any], packages: Path) -> str:
    """Hash everything that an apply depends on; an equal hash means nothing to apply."""
    # Terraform reads TF_VAR_... by itself; what it says must count here, too.
    from_environment = {name: value for name, value in os.environ.items() if name.startswith("TF_VAR_")}
    digest = hashlib.sha256(json.dumps([variables, from_environment], sort_keys=True).encode())
    here = project()
    for path in [*sorted(here.terraform.glob("*.tf")), packages / "built-from"]:
        digest.update(path.read_bytes())
    if here.folder != REPOSITORY:
        # Modules, and what Terraform makes packages of.
        for path in here.files():
            seen = path.stat()
            digest.update(f"{path} {seen.st_size} {seen.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def policy_name(state: Json, address: str) -> str:
    """Return the name of the thing policy that has an address in Terraform's state.

    Raises:
        TestbedError: nothing has it.
    """
    known = {}
    for resource in state.get("resources", []):
        module = f"{resource['module']}." if "module" in resource else ""
        for instance in resource["instances"]:
            key = f"[{json.dumps(instance['index_key'])}]" if "index_key" in instance else ""
            where = f"{module}{resource['type']}.{resource['name']}{key}"
            known[where] = instance["attributes"].get("name", "")
    if address not in known:
        policies = [where for where in known if "aws_iot_policy." in where]
        raise TestbedError(
            f"{PROJECT_FILE}: devices.policy = {address!r} is not in Terraform's state.",
            f"There is {', '.join(policies) or 'no thing policy; leave it out'}.",
        )
    return str(known[address])


def registry_answers() -> bool:
    """Return whether the provider registry of the program that `find` finds can be reached from here."""
    host = _REGISTRIES[Path(find()).name]
    try:
        with urllib.request.urlopen(f"https://{host}/.well-known/terraform.json", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _interrupt(child: "subprocess.Popen[str]") -> None:
    """End Terraform as Ctrl-C does: it finishes what is in flight and writes its state."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGINT)
        try:
            child.communicate(timeout=_INTERRUPT_SECONDS)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise


class LostConnectionError(TestbedError):
    """Terraform failed because a connection to an AWS API broke."""


class Workspace:
    """A folder that Terraform works in, and the cloud that it applies to."""

    def __init__(
        self,
        folder: Path,
        cloud: Cloud,
        variables: Mapping[str, Any],
        *,
        providers: Providers,
        packages: Path | None = None,
        secrets: Mapping[str, str] = {},
        state: Backend | None = None,
        defaults: Path | None = None,
        say: Say = print,
    ) -> None:
        """Prepare nothing yet; see `prepare`.

        Args:
            folder: for the working copy and the state; kept from one run to the next.
            cloud: where to.
            variables: Terraform variables, by name.
            providers: how the provider comes.
            packages: folder of the functions' zips, which variables name.
            secrets: further variables, which reach Terraform without a file of ours.
            state: where the state is, if not in ``folder``.
            defaults: a .tfvars file, if it is there, that ``variables`` and TF_VAR_... come before.
            say: prints a line.
        """
        self._state = state
        self._say = say
        self._defaults = defaults
        self.folder = folder
        self.cloud = cloud
        self.variables = dict(variables)
        self._packages = packages
        self.providers = providers
        # Names of those that `outputs` found marked as sensitive.
        self.secret_outputs: frozenset[str] = frozenset()
        self._secrets = {f"TF_VAR_{name}": value for name, value in secrets.items()}
        self.terraform = find()

    def prepare(self) -> None:
        """Lay out the configuration and run ``terraform init``.

        Raises:
            TestbedError: the configuration is not for this provider, or Terraform failed.
        """
        check_names(os.environ, project().declared("variable"), self._say)
        self.folder.mkdir(parents=True, exist_ok=True)
        for stale in (
            *self.folder.glob("*.tf"),
            *self.folder.glob("*.tf.json"),
            self.folder / _OVERRIDES,
        ):
            stale.unlink(missing_ok=True)
        self.providers.lay_out(self.terraform, self.folder, self._environment(None))
        if self.providers.note:
            self._say(self.providers.note)
        variables = self._with_own_packages()
        (self.folder / _OWN).write_text(json.dumps(variables, indent=1))
        if self._defaults and self._defaults.is_file():
            shutil.copy(self._defaults, self.folder / "terraform.tfvars")
            text = overrides(self._defaults.read_text(), os.environ, ours=self.variables)
            (self.folder / _OVERRIDES).write_text(text)
        if self._state:
            self._state.write_backend(self.folder)
        elif self.cloud.endpoint is not None:
            (self.folder / OVERRIDE).write_text('{"terraform": {"backend": {"local": {}}}}')
        # Whatever an earlier run had for a backend, this is the state.
        self._run("init", "-input=false", "-reconfigure")

    def _with_own_packages(self) -> dict[str, Any]:
        """Return the variables with copies of the packages, which nobody builds anew between plan and apply."""
        if self._packages is None:
            return self.variables
        own = self.folder / ".packages"
        own.mkdir(exist_ok=True)
        for package in self._packages.glob("*.zip"):
            shutil.copy(package, own)
        return {
            name: value.replace(str(self._packages), str(own)) if isinstance(value, str) else value
            for name, value in self.variables.items()
        }

    def plan(self) -> bool:
        """Write a plan and print it.

        Returns:
            Whether it would change anything.
        """
        return self._run("plan", "-input=false", "-out=plan.tfplan", "-detailed-exitcode", show=True) == 2

    def apply(self, *, planned: bool = False) -> Json:
        """Apply the plan, or whatever there is to change, and finish what the provider could not.

        An apply that a lost connection ended is tried once more: what it made is in the state.

        Returns:
            The outputs, name -> value.
        """
        how = ["plan.tfplan"] if planned else ["-auto-approve"]
        apply = ["apply", "-input=false", "-parallelism=32"]
        try:
            self._run(*apply, *how, show=planned)
        except LostConnectionError as lost:
            self._say(
                f"{lost} The connection was lost, not the deployment: applying what is left, once more."
            )
            # A plan is good for one apply.
            self._run(*apply, "-auto-approve", show=planned)
        self.providers.finish(self.cloud.session(), self.cloud.endpoint, self.state())
        return self.outputs()

    def state(self) -> Json:
        """Return Terraform's state as its file has it; empty before the first apply."""
        done = subprocess.run(
            [self.terraform, "state", "pull"],
            cwd=self.folder,
            env=self._environment(None),
            capture_output=True,
            text=True,
            check=True,
        )
        state: Json = json.loads(done.stdout or "{}")
        return state

    def versions(self) -> str:
        """Return what runs here, as ``Terraform 1.11.4, hashicorp/aws 6.73.0``; after `prepare`."""
        done = subprocess.run(
            [self.terraform, "version", "-json"],
            cwd=self.folder,
            env=self._environment(None),
            capture_output=True,
            text=True,
            check=True,
        )
        found = json.loads(done.stdout)
        providers = (
            f"{name.split('/', 1)[-1]} {version}" for name, version in found["provider_selections"].items()
        )
        return ", ".join([f"{Path(self.terraform).name} {found['terraform_version']}", *providers])

    def outputs(self) -> Json:
        """Return the outputs of the last apply."""
        # The state alone answers: no provider, and so no tflocal.
        done = subprocess.run(
            [self.terraform, "output", "-json"],
            cwd=self.folder,
            env=self._environment(None),
            capture_output=True,
            text=True,
            check=True,
        )
        outputs = json.loads(done.stdout)
        self.secret_outputs = frozenset(name for name, output in outputs.items() if output["sensitive"])
        return {name: output["value"] for name, output in outputs.items()}

    def destroy(self) -> None:
        """Remove everything that was applied."""
        state = self.state()
        self._run("destroy", "-input=false", "-auto-approve", show=self.cloud.endpoint is None)
        self.providers.withdraw(self.cloud.session(), self.cloud.endpoint, state)

    def test(self) -> str:
        """Run ``terraform test`` over what is in ``tests/`` of the project's folder, and give what it said.

        Raises:
            TestbedError: a test failed.
        """
        tests = self.folder / "tests"
        if not tests.exists():
            tests.symlink_to(project().terraform / "tests")
        self._run("test")
        return (self.folder / "test.log").read_text()

    def _run(self, *arguments: str, show: bool = False) -> int:
        status, said = self._execute([*arguments, "-no-color"], show=show)
        log = self.folder / f"{arguments[0]}.log"
        log.write_text(said)
        good = (0, 2) if "-detailed-exitcode" in arguments else (0,)
        if status not in good:
            # tflocal passes Terraform's errors on as output.
            if unset := re.findall(r'root module input variable "(\w+)" is not\s+set', said):
                raise TestbedError(
                    f"Terraform variables without a value: {', '.join(sorted(set(unset)))}.",
                    f"Set them in {PROJECT_FILE}, below [terraform.local], or as TF_VAR_{unset[0]}.",
                )
            error = _ERROR.search(said)
            first = ", ".join(filter(None, error.groups())) if error else "see above"
            problem = LostConnectionError if _LOST_CONNECTION.search(said) else TestbedError
            raise problem(f"terraform {arguments[0]} failed: {first}", f"See {log}.")
        return status

    def _execute(self, arguments: list[str], *, show: bool = False) -> tuple[int, str]:
        """Run Terraform; give its status and what it said, which ``show`` prints line by line, too.

        Without ``show`` an apply says how far it is.
        """
        progress = Progress(self._say)
        with self._iot_endpoint() as iot_endpoint:
            command = self.terraform
            # `init` asks no AWS API, and tflocal takes two seconds to say so.
            if self.cloud.endpoint is not None and arguments[0] != "init":
                command = str(Path(sys.executable).parent / "tflocal")
            with subprocess.Popen(
                [command, *arguments],
                cwd=self.folder,
                env=self._environment(iot_endpoint),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                # A group of its own: Ctrl-C reaches it through us alone, and tflocal's Terraform with it.
                start_new_session=True,
            ) as child:
                assert child.stdout  # noqa: S101  # a pipe
                lines = []
                try:
                    for line in child.stdout:
                        lines.append(line)
                        if show:
                            print(line, end="", flush=True)
                        else:
                            progress.read(line)
                except BaseException:
                    _interrupt(child)
                    raise
                finally:
                    progress.end()
            return child.returncode, "".join(lines)

    @contextmanager
    def _iot_endpoint(self) -> Iterator[str | None]:
        endpoint = self.cloud.iot_endpoint or self.cloud.endpoint
        if endpoint is None:
            yield None
            return
        with self.providers.iot_endpoint(endpoint, self.cloud.session(), self.cloud.region) as url:
            yield url

    def _environment(self, iot_endpoint: str | None) -> dict[str, str]:
        environment = _MEMORY | os.environ | self._secrets | self.providers.environment()
        if self.cloud.endpoint is None:
            return environment
        # A local engine must never see, nor be mistaken for, the user's real account.
        environment = {
            name: value
            for name, value in environment.items()
            if not name.startswith("AWS_") and name != "TF_WORKSPACE"
        }
        return (
            environment
            | NO_ACCOUNT
            | {
                "AWS_ENDPOINT_URL": self.cloud.endpoint,
                "AWS_DEFAULT_REGION": self.cloud.region,
                "AWS_ACCESS_KEY_ID": "test",
                "DISABLE_DEPRECATION_NOTICE": "1",
                # Buckets by path: names in front of a loopback address lead nowhere.
                "S3_HOSTNAME": "127.0.0.1",
                "IOT_ENDPOINT": iot_endpoint or self.cloud.endpoint,
                **self.providers.tflocal_environment(self.terraform),
            }
        )
