"""Who signed a request for a WebSocket, and what they may do: AWS credentials in place of a certificate."""

import asyncio
import http.client
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bridge.broker.server import Identity
from bridge.front_door.presigned import RefusedUrlError, signer_of, verify, verify_headers
from bridge.policies import Policies

_SECONDS = 10


class Signers:
    """Asks the emulator for the secret of credentials that it has issued (bridge/ministack/credentials.py)."""

    def __init__(self, endpoint_url: str, region: str, root: Credentials) -> None:
        """Ask at ``endpoint_url`` as the account's ``root``; signatures must be for ``region``."""
        self._url = endpoint_url.rstrip("/")
        self._region = region
        self._root = root

    @staticmethod
    def signed(target: str, headers: Mapping[str, str]) -> bool:
        """Return whether a request has, or means to have, a signature."""
        return "Authorization" in headers or "X-Amz-Credential=" in target

    async def admit(self, target: str, headers: Mapping[str, str]) -> Identity:
        """Return who signed a request for the WebSocket.

        Args:
            target: path and query.
            headers: of the request.

        Raises:
            RefusedUrlError: it is signed by nobody who is known, or not rightly.
            OSError, http.client.HTTPException: the emulator does not answer.
        """
        authorization = headers.get("Authorization")
        access_key = signer_of(target, authorization)
        found = await asyncio.get_running_loop().run_in_executor(None, self._ask, access_key)
        if found is None:
            raise RefusedUrlError(
                f"the access key {access_key[:8]}... is not known here, or has expired: sign with credentials of this"
                " deployment, or of a role that was assumed at it"
            )
        if found["limited"]:
            raise RefusedUrlError(
                "credentials with a session policy or a permissions boundary are not supported"
            )
        credentials = Credentials(access_key, found["secretAccessKey"], found["sessionToken"])
        now = datetime.now(UTC)
        if authorization:
            verify_headers(target, headers, credentials, self._region, now=now)
        else:
            verify(target, headers.get("Host", ""), credentials, self._region, now=now, headers=headers)
        policies = Policies(tuple(found["policies"]))
        return Identity(found["principal"], found["name"], (), policies, root=found["root"])

    def _ask(self, access_key: str) -> dict[str, Any] | None:
        url = urlsplit(self._url)
        path = f"/_testbed/credentials/{quote(access_key, safe='')}"
        request = AWSRequest("GET", self._url + path)
        SigV4Auth(self._root, "iot", self._region).add_auth(request)
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=_SECONDS)
        try:
            connection.request("GET", path, headers=dict(request.headers))
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return None
        if answer.status != http.HTTPStatus.OK:
            raise OSError(f"the emulator answers {answer.status}: {body[:200]!r}")
        found: dict[str, Any] = json.loads(body)
        return found
