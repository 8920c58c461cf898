"""The ``s3`` action: an object a message."""

from collections.abc import Sequence

from bridge.actions.base import Services, one_by_one
from bridge.actions.parameters import Parameters
from bridge.messages import Failure, Outgoing


class S3Action:
    """Puts objects into one bucket."""

    name = "s3"
    max_batch = 1

    def __init__(self, parameters: Parameters, services: Services) -> None:
        """Read bucketName and key, both templates, and cannedAcl."""
        self._bucket = parameters.template("bucketName")
        self._key = parameters.template("key")
        acl = parameters.literal("cannedAcl", "")
        self._acl = {"ACL": acl} if acl else {}
        parameters.role()
        self._s3 = services.client("s3")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return one_by_one(batch, self._bucket, self._put)

    def _put(self, outgoing: Outgoing) -> None:
        bucket, key = self._bucket.render(outgoing.message), self._key.render(outgoing.message)
        self._s3.put_object(Bucket=bucket, Key=key, Body=outgoing.payload, **self._acl)
