"""The ``lambda`` action: an asynchronous call a message, as AWS IoT makes it."""

from collections.abc import Sequence
from typing import Any

from bridge.actions.base import Services, one_by_one
from bridge.messages import Failure, Outgoing
from bridge.sql import CompiledRule


class LambdaAction:
    """Calls one function."""

    name = "lambda"
    max_batch = 1

    def __init__(self, parameters: dict[str, Any], services: Services, _rule: CompiledRule) -> None:
        """``parameters``: functionArn."""
        self._function: str = parameters["functionArn"]
        self._lambda = services.client("lambda")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return one_by_one(batch, self._function, self._invoke)

    def _invoke(self, outgoing: Outgoing) -> None:
        self._lambda.invoke(FunctionName=self._function, InvocationType="Event", Payload=outgoing.payload)
