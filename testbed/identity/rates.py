"""AWS IoT's control plane through boto3, at most at its published rates.

The rates are those of "AWS IoT Throttling Limits" (AWS IoT Developer Guide, the edition whose source AWS published on
GitHub as awsdocs/aws-iot-docs), per account and region, adjustable on request; RegisterCertificateWithoutCA came later
and is taken to be as RegisterCertificate. Service Quotas shows an account's own; some are higher by now. boto3's
adaptive retries see to what is left: the account's other callers.
"""

import threading
import time
from typing import Any

import boto3
from botocore import xform_name
from botocore.config import Config

# Calls a second.
RATES = {
    "RegisterCertificateWithoutCA": 10,
    "CreateThing": 15,
    "AttachThingPrincipal": 15,
    "AttachPolicy": 15,
    "DetachPolicy": 15,
    "DetachThingPrincipal": 15,
    "DeleteThing": 15,
    "UpdateCertificate": 10,
    "DeleteCertificate": 10,
}


class Pace:
    """Lets callers through at a rate, the first second's worth at once."""

    def __init__(self, rate: float) -> None:
        """``rate``: calls a second."""
        self._rate = rate
        self._lock = threading.Lock()
        # When the call before is paid for; what is left unused is kept for a second.
        self._paid = 0.0

    def wait(self) -> None:
        """Return when it is one's turn."""
        with self._lock:
            now = time.monotonic()
            self._paid = max(self._paid, now - 1.0) + 1 / self._rate
            early = self._paid - now
        if early > 0:
            time.sleep(early)


class PacedControlPlane:
    """Calls as `bridge.control_plane.ControlPlane` makes them, and paced: for AWS itself."""

    def __init__(self, session: boto3.Session, *, parallel: int) -> None:
        """Call the session's account and region, from so many threads."""
        retries = Config(retries={"mode": "adaptive", "max_attempts": 10}, max_pool_connections=parallel)
        self._iot = session.client("iot", config=retries)
        self._paces = {operation: Pace(rate) for operation, rate in RATES.items()}

    def call(self, operation: str, **parameters: Any) -> Any:
        """See `ControlPlane.call`; an operation without a known rate is not paced.

        Raises:
            ClientError, BotoCoreError: as boto3.
        """
        pace = self._paces.get(operation)
        if pace:
            pace.wait()
        return getattr(self._iot, xform_name(operation))(**parameters)
