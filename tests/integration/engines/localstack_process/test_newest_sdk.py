"""What `make up` calls by way of hashicorp/aws, called by the newest SDK, on LocalStack."""

from pathlib import Path

from tests import newest_sdk
from tests.integration.engines.localstack_process.conftest import REGION, LocalStack

pytestmark = newest_sdk.MARKS

# Services of LocalStack's paid tiers: its API is not in LocalStack 4.14.0. (IoT is ministack's beside it.)
PAID = ("aws_glue_", "aws_athena_", "aws_budgets_", "aws_ecs_", "aws_cloudfront_", "aws_wafv2_", "data.aws_iot_", "aws_iot_")
LACKS: dict[str, str] = {}


def test_localstack_answers_every_call_of_the_newest_sdk(localstack: LocalStack, tmp_path: Path) -> None:
    found = newest_sdk.run(localstack.url, REGION, tmp_path)
    errors = {name: error for name, error in found.errors.items() if not name.startswith(PAID)}
    assert {name: LACKS.get(name) for name in errors} == LACKS
    assert all(LACKS[name] in error for name, error in errors.items())
