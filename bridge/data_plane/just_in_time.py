"""Certificates that nobody registered, signed by a registered CA: just-in-time registration and provisioning.

"Register a client certificate when the client connects to AWS IoT" (auto-register-device-cert.html) and "Just-in-time
provisioning" (jit-provisioning.html) of the AWS IoT Core developer guide. The broker refuses such a client and tells of
it here; with its certificate registered, and provisioned, the client's next connection is accepted.
"""

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from bridge.control_plane import ControlPlane
from bridge.data_plane.registrar import Registrar, own_parameters
from bridge.data_plane.session import DataPlaneSession, Outgoing
from bridge.data_plane.templates import TemplateError, fill
from bridge.topics import UNKNOWN_CERTIFICATE_TOPIC

log = structlog.get_logger()

# Clients that wait; what comes on top comes again when the client does.
_MOST_WAITING = 1000


class JustInTime:
    """Registers certificates of clients that were refused, one after another."""

    topic_filters = (UNKNOWN_CERTIFICATE_TOPIC,)

    def __init__(self, registry: ControlPlane, registrar: Registrar, account_id: str) -> None:
        """Use a registry.

        Args:
            registry: knows certificates and CAs.
            registrar: carries out templates.
            account_id: in the events.
        """
        self._registry, self._registrar, self._account = registry, registrar, account_id
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(_MOST_WAITING)

    def handle(self, topic: str, payload: bytes, _client: str | None) -> bool:
        """Keep a refused client's certificate in mind; returns whether the topic is ours."""
        if topic != UNKNOWN_CERTIFICATE_TOPIC:
            return False
        if not self._waiting.full():
            self._waiting.put_nowait(payload)
        return True

    async def run(self, session: DataPlaneSession) -> None:
        """Register what comes, for ever."""
        while True:
            told = json.loads(await self._waiting.get())
            der = base64.b64decode(told["certificate"])
            try:
                found = await asyncio.to_thread(self._register, der, told["serverName"])
                if found is not None:
                    topic = f"$aws/events/certificates/registered/{found['caCertificateId']}"
                    event = found | {"sourceIp": told["address"]}
                    await session.publish(Outgoing(topic, json.dumps(event).encode()))
                    await asyncio.to_thread(self._provision, der, found)
            except (
                TemplateError,
                ClientError,
                BotoCoreError,
                OSError,
                ValueError,
            ) as error:
                identity = x509.load_der_x509_certificate(der).fingerprint(hashes.SHA256()).hex()
                log.warning("just_in_time_failed", certificate=identity, reason=str(error))

    # --- in a thread of its own: calls of the control plane ----------------------

    def _register(self, der: bytes, server_name: str) -> dict[str, Any] | None:
        """Register a certificate as PENDING_ACTIVATION; return the event that tells of it, or None if it is not ours.

        One that is PENDING_ACTIVATION is told of again. One that is INACTIVE, or of no CA that registers by itself,
        is left alone.
        """
        certificate = x509.load_der_x509_certificate(der)
        certificate_id = certificate.fingerprint(hashes.SHA256()).hex()
        known = self._describe(certificate_id)
        if known is None:
            issuer = self._issuer(certificate, server_name)
            if issuer is None:
                return None
            self._registry.call(
                "RegisterCertificate",
                certificatePem=certificate.public_bytes(Encoding.PEM).decode(),
                caCertificatePem=issuer["certificatePem"],
                status="INACTIVE",
            )
            self._registry.call(
                "UpdateCertificate", certificateId=certificate_id, newStatus="PENDING_ACTIVATION"
            )
            issuer_id, since = issuer["certificateId"], None
        else:
            issuer_id = known.get("caCertificateId")
            if (
                known["status"] != "PENDING_ACTIVATION"
                or not issuer_id
                or not self._registers(issuer_id, server_name)
            ):
                return None
            since = str(int(float(known["creationDate"]) * 1000))
        return {
            "certificateId": certificate_id,
            "caCertificateId": issuer_id,
            "timestamp": int(time.time() * 1000),
            "certificateStatus": "PENDING_ACTIVATION",
            "awsAccountId": self._account,
            "certificateRegistrationTimestamp": since,
        }

    def _describe(self, certificate_id: str) -> dict[str, Any] | None:
        try:
            found = self._registry.call("DescribeCertificate", certificateId=certificate_id)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return None
        return dict(found["certificateDescription"])

    def _issuer(self, certificate: x509.Certificate, server_name: str) -> dict[str, Any] | None:
        """Return the description of the registered CA that signed a certificate and registers by itself."""
        for listed in self._registry.call("ListCACertificates", pageSize=250)["certificates"]:
            if listed["status"] != "ACTIVE":
                continue
            found = self._registers(listed["certificateId"], server_name)
            if found is None:
                continue
            try:
                certificate.verify_directly_issued_by(
                    x509.load_pem_x509_certificate(found["certificatePem"].encode())
                )
            except Exception:  # noqa: S112  # by another, or with a key of another kind: cryptography has many words
                continue
            return found
        return None

    def _registers(self, ca_id: str, server_name: str) -> dict[str, Any] | None:
        """Return a CA's description with its registration config, if it registers certificates by itself now."""
        described = self._registry.call("DescribeCACertificate", certificateId=ca_id)
        found = described["certificateDescription"]
        if found["status"] != "ACTIVE" or found["autoRegistrationStatus"] != "ENABLE":
            return None
        # "Presenting the CA certificate is optional, but the device is required to send the Server Name Indication".
        if not server_name and found.get("certificateMode") == "SNI_ONLY":
            return None
        return {**found, "registrationConfig": described.get("registrationConfig") or {}}

    def _provision(self, der: bytes, event: Mapping[str, Any]) -> None:
        """Provision a device by the template of its CA, if it has one; the certificate becomes ACTIVE."""
        config = self._registers(event["caCertificateId"], "any")
        template = (config or {}).get("registrationConfig") or {}
        if not template:
            return
        certificate, certificate_id = x509.load_der_x509_certificate(der), event["certificateId"]
        parameters, body = own_parameters(certificate, certificate_id), template.get("templateBody")
        if name := template.get("templateName"):
            described = self._registry.call("DescribeProvisioningTemplate", templateName=name)
            if not described.get("enabled") or described.get("type") != "JITP":
                raise TemplateError(
                    f"the provisioning template {name} is not enabled, or of another type than JITP"
                )
            body = described["templateBody"]
        self._registrar.apply(fill(str(body), parameters), certificate_id)
