"""Which actions there are: the one place that names them all."""

from typing import Any

from bridge.actions.base import Action, Builder, Services, UnsupportedActionError
from bridge.actions.cloudwatch import CloudwatchMetricAction
from bridge.actions.dynamodb import DynamoDBAction, DynamoDBv2Action
from bridge.actions.firehose import FirehoseAction
from bridge.actions.http import HttpAction
from bridge.actions.kinesis import KinesisAction
from bridge.actions.lambda_ import LambdaAction
from bridge.actions.republish import RepublishAction
from bridge.actions.s3 import S3Action
from bridge.actions.sns import SnsAction
from bridge.actions.sqs import SqsAction
from bridge.sql import CompiledRule

# By the names of the IoT API.
BUILDERS: dict[str, Builder] = {
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
}


def build(definition: dict[str, Any], services: Services, rule: CompiledRule) -> Action:
    """Build an action from its form in the API: ``{"sqs": {"queueUrl": ...}}``.

    Raises:
        UnsupportedActionError: there is no such action here, or one of its parameters cannot be had.
        RuleSqlError: a substitution template is wrong.
    """
    [(name, parameters)] = definition.items()
    builder = BUILDERS.get(name)
    if builder is None:
        raise UnsupportedActionError(
            f"the action {name!r} is not supported; these are: {', '.join(sorted(BUILDERS))}"
        )
    try:
        return builder(parameters, services, rule)
    except KeyError as error:
        raise UnsupportedActionError(f"the action {name!r} lacks its parameter {error.args[0]!r}") from error
