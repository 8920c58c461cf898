"""`make up` and `make down`: brings a deployment to where it should be, and takes it away."""

import shutil
from collections.abc import Callable, Sequence

from testbed.deploy import aws, local
from testbed.deploy.deployment import Deployment
from testbed.deploy.settings import Settings
from testbed.deploy.stations import enrolment_of
from testbed.engines.base import EngineName
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
    if settings.target == "aws":
        return aws.up(settings, say, confirm)
    return local.up(settings, say)


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
    engines: Sequence[EngineName | None] = [None] if settings.target == "aws" else settings.engines()
    removed = False
    for engine in engines:
        deployment = Deployment.load(settings.folder(engine))
        if deployment is None:
            continue
        removed = True
        if deployment.target == "aws":
            aws.down(
                settings, deployment, enrolment_of(deployment), say, confirm, delete_archive=delete_archive
            )
        else:
            local.stop(deployment)
            deployment.local_engine.remove(deployment.place)
        shutil.rmtree(deployment.path)
        say(f"Down: {deployment.cloud_name}")
    if not removed:
        say("Nothing is up.")
