"""DynamoDB Local answers batches of PartiQL updates as it did when its answers were recorded."""

import json

from tests.integration.engines import statements

from .conftest import LocalStack


def test_what_was_recorded_is_what_dynamodb_local_answers(localstack: LocalStack) -> None:
    assert statements.answers(localstack.client("dynamodb"), "statements") == json.loads(
        statements.RECORDED.read_text()
    )
