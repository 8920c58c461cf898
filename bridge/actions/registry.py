"""Which actions there are: the one place that names them all."""

from typing import Any

from bridge.actions.base import Action, Builder, Services, UnsupportedActionError
from bridge.actions.sqs import SqsAction

BUILDERS: dict[str, Builder] = {
    "sqs": SqsAction,
}


def build(definition: dict[str, Any], services: Services) -> Action:
    """Build an action from its form in the API: ``{"sqs": {"queueUrl": ...}}``.

    Raises:
        UnsupportedActionError: there is no such action here.
    """
    [(name, parameters)] = definition.items()
    builder = BUILDERS.get(name)
    if builder is None:
        raise UnsupportedActionError(
            f"the action {name!r} is not supported; these are: {', '.join(sorted(BUILDERS))}"
        )
    return builder(parameters, services)
