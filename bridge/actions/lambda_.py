"""The ``lambda`` action: an asynchronous call a message, as AWS IoT makes it."""

from collections.abc import Sequence

from bridge.actions.base import Services, by_target, one_by_one
from bridge.actions.parameters import Parameters
from bridge.messages import Failure, Outgoing


class LambdaAction:
    """Calls one function."""

    name = "lambda"
    max_batch = 1

    def __init__(self, parameters: Parameters, services: Services) -> None:
        """Read functionArn, a template."""
        self._function = parameters.template("functionArn")
        self._lambda = services.client("lambda")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return by_target(batch, self._function, self._invoke_each)

    def _invoke_each(self, function: str, batch: Sequence[Outgoing]) -> list[Failure | None]:
        def invoke(outgoing: Outgoing) -> None:
            self._lambda.invoke(FunctionName=function, InvocationType="Event", Payload=outgoing.payload)

        return one_by_one(batch, function, invoke)
