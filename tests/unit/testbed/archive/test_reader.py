"""Reading the archive where an object is in a storage class that wants a restore."""

import boto3
import pytest
from botocore.stub import Stubber

from testbed.archive import reader
from testbed.errors import TestbedError


def test_an_object_that_must_be_restored_is_one_clear_error_with_the_way_out() -> None:
    """Amazon S3 API reference, GetObject: InvalidObjectState, of objects in Glacier Flexible Retrieval."""
    s3 = boto3.client("s3", "eu-central-1", aws_access_key_id="test", aws_secret_access_key="test")
    with Stubber(s3) as stubbed:
        stubbed.add_client_error("get_object", "InvalidObjectState", "The operation is not valid", 403)
        with pytest.raises(TestbedError, match="cannot be read at once") as error:
            reader.fetch(s3, "archive", "telemetry/dt=2026-01-01/hour=00/a.ndjson.gz")
    assert "restore-object --bucket archive" in error.value.remedy
