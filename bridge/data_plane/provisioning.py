"""Fleet provisioning by claim: "Device provisioning MQTT API", developer guide.

A request is kept in the store until it is answered, because what it asks of the control plane takes a while. The answer
goes to the client that asked, and to nobody else: it may have a private key in it.
"""

import asyncio
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from cryptography import x509

from bridge.clients import FunctionFailedError, Invoke
from bridge.control_plane import ControlPlane
from bridge.data_plane.registrar import Registrar, own_parameters
from bridge.data_plane.store import Store
from bridge.data_plane.templates import TemplateError, fill
from bridge.topics import TO_PREFIX

log = structlog.get_logger()

_TABLES = """
CREATE TABLE IF NOT EXISTS provisioning (
    id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, payload BLOB NOT NULL, client TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS ownership (token TEXT PRIMARY KEY, certificate TEXT NOT NULL, ends REAL NOT NULL);
"""

_TOPIC = re.compile(
    r"\$aws/(?:certificates/(create|create-from-csr)|provisioning-templates/([^/]+)/provision)/(json|cbor)"
)
_TOKEN_SECONDS = 3600.0
# "Pre-provisioning hooks".
HOOK_SECONDS = 5.0


class _RefusalError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.document = {"statusCode": status, "errorCode": code, "errorMessage": message}


class Provisioning:
    """Carries out provisioning requests one after another."""

    topic_filters = (
        *(
            f"$aws/certificates/{verb}/{form}"
            for verb in ("create", "create-from-csr")
            for form in ("json", "cbor")
        ),
        *(f"$aws/provisioning-templates/+/provision/{form}" for form in ("json", "cbor")),
    )

    def __init__(
        self,
        store: Store,
        registry: ControlPlane,
        registrar: Registrar,
        invoke: Invoke,
        answered: Callable[[], None],
    ) -> None:
        """Use a store.

        Args:
            store: of requests and of the tokens of certificates.
            registry: makes certificates and things.
            registrar: carries out templates.
            invoke: calls a template's hook, a function.
            answered: called when an answer was left to publish.
        """
        self._store, self._registry, self._answered = store, registry, answered
        self._registrar, self._invoke = registrar, invoke
        self._more = asyncio.Event()
        self._more.set()
        store.db.executescript(_TABLES)

    def handle(self, topic: str, payload: bytes, client: str | None) -> bool:
        """Keep a request, to be carried out; returns whether the topic is one of ours."""
        if not _TOPIC.fullmatch(topic):
            return False
        if client is None:
            log.warning("provisioning_without_client", topic=topic)
            return True
        self._store.db.execute(
            "INSERT INTO provisioning (topic, payload, client) VALUES (?, ?, ?)", (topic, payload, client)
        )
        self._more.set()
        return True

    async def run(self, _session: object = None) -> None:
        """Carry out what there is, for ever."""
        while True:
            await self._more.wait()
            self._more.clear()
            while row := self._store.db.execute("SELECT * FROM provisioning ORDER BY id LIMIT 1").fetchone():
                number, topic, payload, client = row
                stub, answer = await self._answer(topic, payload, client)
                with self._store.transaction():
                    self._store.db.execute("DELETE FROM provisioning WHERE id = ?", (number,))
                    target = f"{TO_PREFIX}{quote(client, safe='')}/{topic}/{stub}"
                    self._store.answer(target, json.dumps(answer).encode())
                self._answered()

    async def _answer(self, topic: str, payload: bytes, client: str) -> tuple[str, dict[str, Any]]:
        found = _TOPIC.fullmatch(topic)
        assert found is not None  # noqa: S101  # `handle` has looked
        try:
            request = _parse(payload, found[3])
            if found[2]:
                certificate = self._owned(request)
                answer = await asyncio.to_thread(self._provision, found[2], request, certificate, client)
                self._store.db.execute("DELETE FROM ownership WHERE certificate = ?", (certificate,))
            else:
                answer = await asyncio.to_thread(self._create, found[1], request)
                token = secrets.token_urlsafe(48)
                self._store.db.execute(
                    "INSERT INTO ownership VALUES (?, ?, ?)",
                    (token, answer["certificateId"], time.time() + _TOKEN_SECONDS),
                )
                answer["certificateOwnershipToken"] = token
        except _RefusalError as refusal:
            return "rejected", refusal.document
        except TemplateError as error:
            return "rejected", _RefusalError(400, "InvalidParameters", str(error)).document
        except (ClientError, BotoCoreError) as error:
            log.warning("provisioning_failed", topic=topic, client=client, error=str(error))
            return "rejected", _RefusalError(500, "InternalFailure", str(error)).document
        return "accepted", answer

    def _owned(self, request: Mapping[str, Any]) -> str:
        """Return the id of the certificate whose token the request has."""
        row = self._store.db.execute(
            "SELECT certificate FROM ownership WHERE token = ? AND ends > ?",
            (str(request.get("certificateOwnershipToken")), time.time()),
        ).fetchone()
        if row is None:
            fault = "certificateOwnershipToken is none that was given here, or has expired"
            raise _RefusalError(400, "InvalidCertificateOwnershipToken", fault)
        return str(row[0])

    # --- in a thread of its own: calls of the control plane ----------------------

    def _create(self, verb: str, request: Mapping[str, Any]) -> dict[str, Any]:
        if verb == "create":
            made = self._registry.call("CreateKeysAndCertificate", setAsActive=False)
        else:
            csr = request.get("certificateSigningRequest")
            if not isinstance(csr, str):
                raise _RefusalError(
                    400, "InvalidCertificateSigningRequest", "certificateSigningRequest is needed"
                )
            made = self._registry.call(
                "CreateCertificateFromCsr", certificateSigningRequest=csr, setAsActive=False
            )
        answer = {"certificateId": made["certificateId"], "certificatePem": made["certificatePem"]}
        if verb == "create":
            answer["privateKey"] = made["keyPair"]["PrivateKey"]
        return answer

    def _provision(
        self, name: str, request: Mapping[str, Any], certificate: str, client: str
    ) -> dict[str, Any]:
        parameters = request.get("parameters", {})
        if not isinstance(parameters, dict) or not all(isinstance(one, str) for one in parameters.values()):
            raise _RefusalError(400, "InvalidParameters", "parameters must be a map of strings")
        try:
            template = self._registry.call("DescribeProvisioningTemplate", templateName=name)
        except ClientError as error:
            raise _RefusalError(
                404, "ResourceNotFound", f"There is no provisioning template {name}"
            ) from error
        if not template.get("enabled"):
            raise _RefusalError(400, "TemplateDisabled", f"The provisioning template {name} is not enabled")
        described = self._registry.call("DescribeCertificate", certificateId=certificate)[
            "certificateDescription"
        ]
        if hook := template.get("preProvisioningHook"):
            asked = {
                "certificateId": certificate,
                "certificatePem": described["certificatePem"],
                "templateArn": template["templateArn"],
                "clientId": client,
                "parameters": parameters,
            }
            parameters = {**parameters, **self._ask_hook(hook["targetArn"], asked)}
        known = x509.load_pem_x509_certificate(described["certificatePem"].encode())
        plan = fill(template["templateBody"], {**own_parameters(known, certificate), **parameters})
        self._registrar.apply(plan, certificate)
        thing = str(plan.thing.properties["ThingName"]) if plan.thing else ""
        return {"deviceConfiguration": plan.configuration, "thingName": thing}

    def _ask_hook(self, function: str, asked: Mapping[str, Any]) -> dict[str, str]:
        """Return what the pre-provisioning hook overrides.

        Raises:
            _RefusalError: it does not allow the device, or fails.
        """
        refusal = _RefusalError(403, "AccessDenied", "The pre-provisioning hook does not allow this device")
        try:
            decision = self._invoke(function, asked)
        except FunctionFailedError as error:
            log.warning("provisioning_hook_failed", function=function, error=str(error))
            raise refusal from error
        if not isinstance(decision, dict) or decision.get("allowProvisioning") is not True:
            raise refusal
        return dict(decision.get("parameterOverrides") or {})


def _parse(payload: bytes, form: str) -> dict[str, Any]:
    if form == "cbor":
        raise _RefusalError(
            400, "InvalidPayload", "CBOR is not supported here: use the topics that end in json"
        )
    try:
        request = json.loads(payload or b"{}")
    except ValueError as error:
        raise _RefusalError(400, "InvalidPayload", f"The payload is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise _RefusalError(400, "InvalidPayload", "The payload is not a JSON object")
    return request
