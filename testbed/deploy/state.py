"""Terraform's remote state: one private, versioned, encrypted bucket an account and region, with S3's own locking."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from testbed.errors import TestbedError

# The file by which the testbed says where a state is: an override comes before a project's own backend block.
OVERRIDE = "zz-testbed_override.tf.json"

# How long an older version of a state can be brought back.
_KEEP_VERSIONS_DAYS = 90


@dataclass(frozen=True)
class RemoteState:
    """Where the state of one deployment is: the bucket is shared by all of a project, the key is its own."""

    session: boto3.Session
    project: str
    environment: str
    account: str

    @property
    def bucket(self) -> str:
        """The bucket's name: at most 56 of S3's 63 characters, with a project of 20 and the longest region."""
        return f"{self.project}-tfstate-{self.account}-{self.session.region_name}"

    @property
    def key(self) -> str:
        """The state's object."""
        return f"{self.environment}.tfstate"

    def ensure(self) -> bool:
        """Make the bucket if it is not there, and set what makes it safe each time.

        Returns:
            Whether it is new.

        Raises:
            TestbedError: the name belongs to somebody else.
        """
        s3 = self._s3
        new = not self.exists()
        if new:
            region = self.session.region_name
            # S3 knows us-east-1 as the region that is not named.
            place = (
                {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            )
            try:
                s3.create_bucket(Bucket=self.bucket, **place)
            except (s3.exceptions.BucketAlreadyExists, s3.exceptions.BucketAlreadyOwnedByYou) as error:
                raise TestbedError(
                    f"The state bucket {self.bucket} cannot be made: {error}", "Choose another PROJECT."
                ) from error
        s3.put_public_access_block(
            Bucket=self.bucket,
            PublicAccessBlockConfiguration=dict.fromkeys(
                ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
            ),
        )
        s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_encryption(
            Bucket=self.bucket,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
        )
        s3.put_bucket_lifecycle_configuration(
            Bucket=self.bucket,
            LifecycleConfiguration={
                "Rules": [
                    {
                        "ID": "old-versions",
                        "Status": "Enabled",
                        "Filter": {},
                        "NoncurrentVersionExpiration": {"NoncurrentDays": _KEEP_VERSIONS_DAYS},
                    }
                ]
            },
        )
        s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(_tls_only(self.bucket)))
        s3.put_bucket_tagging(
            Bucket=self.bucket,
            Tagging={
                "TagSet": [
                    {"Key": "Project", "Value": self.project},
                    {"Key": "ManagedBy", "Value": "testbed"},
                ]
            },
        )
        return new

    def exists(self) -> bool:
        """Return whether the bucket is there, and ours."""
        try:
            self._s3.head_bucket(Bucket=self.bucket, ExpectedBucketOwner=self.account)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return False
            raise TestbedError(
                f"The state bucket {self.bucket} cannot be used: {error}",
                "Give these credentials the rights to it, or choose another PROJECT.",
            ) from error
        return True

    def write_backend(self, folder: Path) -> None:
        """Tell Terraform in ``folder``. The lock is an object beside the state, written only if there is none."""
        settings = {
            "bucket": self.bucket,
            "key": self.key,
            "region": self.session.region_name,
            "encrypt": True,
            "use_lockfile": True,
        }
        (folder / OVERRIDE).write_text(json.dumps({"terraform": {"backend": {"s3": settings}}}, indent=1))

    def remove(self) -> bool:
        """Remove this deployment's state with its versions; and the bucket, if no other deployment's is in it.

        Returns:
            Whether the bucket is gone, too.
        """
        if not self.exists():
            return True
        for page in self._s3.get_paginator("list_object_versions").paginate(
            Bucket=self.bucket, Prefix=self.key
        ):
            for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                self._s3.delete_object(Bucket=self.bucket, Key=version["Key"], VersionId=version["VersionId"])
        if self._s3.list_object_versions(Bucket=self.bucket, MaxKeys=1).get("Versions"):
            return False
        with contextlib.suppress(self._s3.exceptions.NoSuchBucket):
            self._s3.delete_bucket(Bucket=self.bucket)
        return True

    @property
    def _s3(self) -> Any:
        return self.session.client("s3")


def _tls_only(bucket: str) -> dict[str, Any]:
    arn = f"arn:aws:s3:::{bucket}"
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
