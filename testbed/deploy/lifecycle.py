"""`make up` and `make down`: brings a deployment to where it should be, and takes it away."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial

from testbed.deploy import aws, local
from testbed.deploy.deployment import Deployment, nothing_is_up
from testbed.deploy.settings import Settings
from testbed.deploy.stations import enrolment_of
from testbed.engines.base import EngineName
from testbed.host import guests, locks
from testbed.say import Say

# ---------------------------------------------------------------------------
# Up
# ---------------------------------------------------------------------------


def up(settings: Settings, say: Say, confirm: Callable[[str], bool]) -> Deployment:
    """Bring the deployment up; where it is up already, this takes a second and changes nothing.

    Args:
        settings: what to bring up.
        say: prints a line.
        confirm: asks a question before anything is changed on AWS.

    Raises:
        TestbedError: something is in the way; nothing is left half-started that ``down`` would not stop.
    """
    with _alone(settings, "make up", say):
        if settings.target == "aws":
            return aws.up(settings, say, confirm)
        return local.up(settings, say)


def _alone(settings: Settings, what: str, say: Say) -> AbstractContextManager[None]:
    """Have one program at a time change a deployment, whatever its engine; the second one says whom it waits for."""
    name = f"local-{settings.name}" if settings.target == "local" else settings.folder(None).name
    return locks.exclusive(
        f"deployment-{name}",
        what=what,
        waiting=lambda holder: say(f"Waiting for {holder}, which works on the same deployment."),
    )


# ---------------------------------------------------------------------------
# Down
# ---------------------------------------------------------------------------


def down(
    settings: Settings, say: Say, confirm: Callable[[str], bool], *, delete_archive: bool = False
) -> None:
    """Stop and remove the deployment: processes, resources, certificates, data. Harmless where nothing is up.

    Args:
        settings: what to remove.
        say: prints a line.
        confirm: asks a question before anything is removed from AWS.
        delete_archive: whether an archive on AWS that holds data may be deleted.
    """
    with _alone(settings, "make down", say):
        _down(settings, say, confirm, delete_archive=delete_archive)


def _down(settings: Settings, say: Say, confirm: Callable[[str], bool], *, delete_archive: bool) -> None:
    engines: Sequence[EngineName | None] = [None] if settings.target == "aws" else settings.engines()
    removed = False
    for engine in engines:
        deployment = Deployment.load(settings.folder(engine))
        if deployment is None:
            continue
        removed = True
        for guest in guests.stop_all(deployment.path):
            say(f"Stopped {guest}, which somebody left running")
        if deployment.target == "aws":
            aws.down(
                settings,
                deployment,
                partial(enrolment_of, deployment),
                say,
                confirm,
                delete_archive=delete_archive,
            )
        else:
            local.clear(deployment)
            local.stop(deployment)
            deployment.local_engine.remove(deployment.place)
        shutil.rmtree(deployment.path)
        say(f"Down: {deployment.cloud_name}")
    if not removed:
        say(nothing_is_up(settings))
