"""The ``stepFunctions`` action: an execution a message."""

import uuid
from collections.abc import Sequence

from bridge.actions.base import Services, one_by_one
from bridge.actions.parameters import Parameters
from bridge.messages import Failure, Outgoing


class StepFunctionsAction:
    """Starts executions of one state machine of the rule's account and region."""

    name = "stepFunctions"
    max_batch = 1

    def __init__(self, parameters: Parameters, services: Services) -> None:
        """Read stateMachineName and executionNamePrefix, both templates."""
        self._machine = parameters.template("stateMachineName")
        self._prefix = parameters.template("executionNamePrefix", "")
        parameters.role()
        self._states = services.client("stepfunctions")
        meta = self._states.meta
        self._home = f"arn:{meta.partition}:states:{meta.region_name}:{parameters.account_id}:stateMachine:"

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return one_by_one(batch, self._machine, self._start)

    def _start(self, outgoing: Outgoing) -> None:
        name = self._prefix.render(outgoing.message) + str(uuid.uuid4())
        machine = self._home + self._machine.render(outgoing.message)
        self._states.start_execution(stateMachineArn=machine, name=name, input=outgoing.payload.decode())
