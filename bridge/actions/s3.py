"""The ``s3`` action: an object a message."""

from collections.abc import Sequence
from typing import Any

from bridge.actions.base import Services, one_by_one
from bridge.messages import Failure, Outgoing
from bridge.sql import CompiledRule


class S3Action:
    """Puts objects into one bucket; the key is a substitution template."""

    name = "s3"
    max_batch = 1

    def __init__(self, parameters: dict[str, Any], services: Services, rule: CompiledRule) -> None:
        """``parameters``: bucketName, key, cannedAcl."""
        self._bucket: str = parameters["bucketName"]
        self._key = rule.compile_template(parameters["key"])
        self._acl = {"ACL": parameters["cannedAcl"]} if parameters.get("cannedAcl") else {}
        self._s3 = services.client("s3")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return one_by_one(batch, self._bucket, self._put)

    def _put(self, outgoing: Outgoing) -> None:
        key = self._key.render(outgoing.message)
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=outgoing.payload, **self._acl)
