"""`make dev`: what is saved in functions/ or terraform/ is live on the running engine a moment later."""

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from watchfiles import Change, DefaultFilter, watch

from testbed.deploy import lifecycle
from testbed.deploy.deployment import Deployment
from testbed.deploy.packaging import build_packages
from testbed.deploy.project import Here, project
from testbed.deploy.settings import Settings
from testbed.errors import TestbedError

Say = Callable[[str], None]

_MOST_NAMED = 4


class _Sources(DefaultFilter):
    """Files that are deployed; what editors and Python leave beside them is not."""

    def __call__(self, change: Change, path: str) -> bool:
        if Path(path).is_relative_to(project().terraform):
            return path.endswith(".tf") and super().__call__(change, path)
        return super().__call__(change, path)


def run(settings: Settings, say: Say) -> None:
    """Bring the deployment up if it is not, then follow the sources until Ctrl-C; an error ends nothing.

    Raises:
        TestbedError: it is not a local one, or cannot be brought up.
    """
    if settings.target == "aws":
        raise TestbedError("`make dev` is for local deployments.", "On AWS: make up TARGET=aws")
    deployment = lifecycle.up(settings, say, lambda _: True)
    here = project()
    watched = _watched(here)
    say(f"Watching {', '.join(f'{path.relative_to(here.folder)}/' for path in watched)}; Ctrl-C ends it.")
    for changes in watch(*watched, watch_filter=_Sources(), debounce=400, step=50, raise_interrupt=False):
        paths = {Path(path) for _, path in changes}
        with _told(paths, say):
            if any(_needs_apply(here, path) for path in paths):
                deployment = lifecycle.up(settings, lambda _: None, lambda _: True)
            else:
                reload(deployment)


def _watched(here: Here) -> list[Path]:
    """Return the folders of Terraform and of the functions' sources, none inside another."""
    sources = [
        here.folder / part
        for function in here.described.functions.values()
        for part in (
            function.source,
            str(Path(function.requirements).parent) if function.requirements else "",
        )
        if part
    ]
    folders = {here.terraform, *sources}
    return sorted(
        one for one in folders if not any(one != other and other in one.parents for other in folders)
    )


def _needs_apply(here: Here, path: Path) -> bool:
    """Return whether what was saved is not of a function that can be updated by itself."""
    by_itself = [
        here.folder / function.source
        for function in here.described.functions.values()
        if function.source and function.output
    ]
    others = [here.folder / f.source for f in here.described.functions.values() if f.source and not f.output]
    if any(path.is_relative_to(source) for source in others):
        return True
    return path.is_relative_to(here.terraform) or not any(
        path.is_relative_to(source) or source.parent in path.parents for source in by_itself
    )


@contextmanager
def _told(paths: Iterable[Path], say: Say) -> Iterator[None]:
    """Say what was reloaded in how long, or in one line why it was not."""
    # An editor's temporary file is gone by now; what was removed goes without a name.
    names = sorted(str(path.relative_to(project().folder)) for path in paths if path.is_file())
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    begun = time.monotonic()
    try:
        yield
    except (TestbedError, BotoCoreError, ClientError) as error:
        problem = error.problem if isinstance(error, TestbedError) else str(error)
        say(f"not live: {' '.join(problem.split())}")
    else:
        say(f"live in {time.monotonic() - begun:.1f} s: {', '.join(names[:_MOST_NAMED])}{more}")


def reload(deployment: Deployment) -> None:
    """Give each function its package, where that is not what it has.

    Raises:
        TestbedError: a file is not Python, or a function cannot be loaded.
    """
    here = project()
    functions = here.described.functions
    sources = {here.folder / function.source for function in functions.values() if function.source}
    for file in sorted(file for source in sources for file in source.rglob("*.py")):
        try:
            compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
        except SyntaxError as error:
            raise TestbedError(f"{file.relative_to(here.folder)}:{error.lineno}: {error.msg}") from error
    folder = build_packages(deployment.local_engine.runtime())
    client = deployment.client("lambda")
    for name, described in functions.items():
        # Others come by an apply.
        if not described.output:
            continue
        function = deployment.terraform_outputs[described.output]
        package = (folder / f"{name}.zip").read_bytes()
        digest = base64.b64encode(hashlib.sha256(package).digest()).decode()
        if client.get_function_configuration(FunctionName=function)["CodeSha256"] == digest:
            continue
        client.update_function_code(FunctionName=function, ZipFile=package)
        client.get_waiter("function_updated_v2").wait(
            FunctionName=function, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
        )
        if described.loaded is None:
            continue
        answer = client.invoke(FunctionName=function, Payload=b"{}")
        said = json.loads(answer["Payload"].read())
        if "FunctionError" in answer and (
            not described.loaded or described.loaded not in said.get("errorMessage", "")
        ):
            raise TestbedError(f"{function} cannot be loaded: {said.get('errorMessage')}")
