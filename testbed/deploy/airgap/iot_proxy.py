"""A loopback proxy that corrects how the old provider signs IoT calls.

Provider 3.39.0 signs them for the service ``execute-api`` (as AWS's SDK for Go once did); ministack 1.5 and
LocalStack 4.14 choose the service by that word and would answer as API Gateway. AWS itself takes both.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from testbed.errors import TestbedError
from testbed.host.forward import Forwarder, Headers, serving

_SIGNATURE = {"authorization", "x-amz-date", "x-amz-security-token"}


@contextmanager
def iot_proxy(upstream: str, session: boto3.Session, region: str) -> Iterator[str]:
    """Run the proxy in front of ``upstream``, and give its URL.

    Raises:
        TestbedError: the session has no credentials.
    """
    parts = urlsplit(upstream)
    credentials = session.get_credentials()
    if credentials is None:
        raise TestbedError("There are no AWS credentials to sign IoT calls with.", "Set AWS_PROFILE.")
    signer = SigV4Auth(credentials.get_frozen_credentials(), "iot", region)

    class Handler(Forwarder):
        def upstream(self) -> tuple[str, int, str]:
            return parts.hostname or "127.0.0.1", parts.port or 80, self.path

        def sent(self, path: str, headers: Headers, body: bytes) -> Headers:
            unsigned = {name: value for name, value in headers if name.lower() not in _SIGNATURE}
            request = AWSRequest(
                self.command, f"http://{self.headers['Host']}{path}", headers=unsigned, data=body
            )
            signer.add_auth(request)
            return list(request.headers.items())

    with serving(Handler) as url:
        yield url
