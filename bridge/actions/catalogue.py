"""Which actions there are: the one place that names them all."""

from typing import Any

from bridge.actions.base import Action, Builder, Services, UnsupportedActionError
from bridge.actions.cloudwatch import CloudwatchAlarmAction, CloudwatchMetricAction
from bridge.actions.dynamodb import DynamoDBAction, DynamoDBv2Action
from bridge.actions.firehose import FirehoseAction
from bridge.actions.http import HttpAction
from bridge.actions.kinesis import KinesisAction
from bridge.actions.lambda_ import LambdaAction
from bridge.actions.logs import CloudwatchLogsAction
from bridge.actions.parameters import Parameters
from bridge.actions.republish import RepublishAction
from bridge.actions.s3 import S3Action
from bridge.actions.sns import SnsAction
from bridge.actions.sqs import SqsAction
from bridge.actions.step_functions import StepFunctionsAction
from bridge.sql import CompiledRule

# By the names of the IoT API.
BUILDERS: dict[str, Builder] = {
    "cloudwatchAlarm": CloudwatchAlarmAction,
    "cloudwatchLogs": CloudwatchLogsAction,
    "cloudwatchMetric": CloudwatchMetricAction,
    "dynamoDB": DynamoDBAction,
    "dynamoDBv2": DynamoDBv2Action,
    "firehose": FirehoseAction,
    "http": HttpAction,
    "kinesis": KinesisAction,
    "lambda": LambdaAction,
    "republish": RepublishAction,
    "s3": S3Action,
    "sns": SnsAction,
    "sqs": SqsAction,
    "stepFunctions": StepFunctionsAction,
}


def build(
    definition: dict[str, Any], services: Services, rule: CompiledRule, *, is_error_action: bool = False
) -> Action:
    """Build an action from its form in the API: ``{"sqs": {"queueUrl": ...}}``.

    Raises:
        UnsupportedActionError: there is no such action here, or one of its parameters is missing or not supported.
        RuleSqlError: a substitution template is wrong.
    """
    [(name, values)] = definition.items()
    builder = BUILDERS.get(name)
    if builder is None:
        raise UnsupportedActionError(
            f"the action {name!r} is not supported; these are: {', '.join(sorted(BUILDERS))}"
        )
    # "You can use any function or substitution in an error action except for external functions"
    # (rule-error-handling.md).
    parameters = Parameters(name, values, rule, outside=not is_error_action)
    action = builder(parameters, services)
    parameters.refuse_unread()
    return action
