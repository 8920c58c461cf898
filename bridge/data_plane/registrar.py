"""Carries out what a filled-in provisioning template says: "Provisioning templates" of the developer guide."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.x509.oid import NameOID

from bridge.control_plane import ControlPlane
from bridge.data_plane.templates import Plan, Resource, TemplateError

_OF_A_THING = {"ThingName", "AttributePayload", "ThingTypeName", "ThingGroups"}
_OF_A_CERTIFICATE = {
    "CertificateId",
    "CertificateSigningRequest",
    "CertificatePem",
    "CACertificatePem",
    "Status",
}
# How each may be overridden where the resource is there already ("Override settings").
_OVERRIDES = {
    "AttributePayload": ("DO_NOTHING", "REPLACE", "FAIL", "MERGE"),
    "ThingTypeName": ("DO_NOTHING", "REPLACE", "FAIL"),
    "ThingGroups": ("DO_NOTHING", "REPLACE", "FAIL", "MERGE"),
    "Status": ("DO_NOTHING", "REPLACE", "FAIL"),
}
# Of a certificate that waits for a template the status is set, whatever its override setting says.
_WAITING = ("PENDING_ACTIVATION",)


class ConflictError(TemplateError):
    """A resource is there already, and the template says that this is a failure."""


class Registrar:
    """Makes things, certificates and policies as a plan says, and attaches them. It waits for the control plane."""

    def __init__(self, registry: ControlPlane) -> None:
        """Make them in a registry."""
        self._registry = registry

    def certificate(self, resource: Resource | None) -> str:
        """Return the id of the certificate that a template names, registered or issued if need be.

        Raises:
            TemplateError: it names none.
        """
        properties = resource.properties if resource else {}
        if unknown := properties.keys() - _OF_A_CERTIFICATE:
            raise TemplateError(f"{', '.join(sorted(unknown))} of a certificate: not supported here")
        if found := properties.get("CertificateId"):
            return str(found)
        if csr := properties.get("CertificateSigningRequest"):
            made = self._registry.call(
                "CreateCertificateFromCsr", certificateSigningRequest=csr, setAsActive=False
            )
            return str(made["certificateId"])
        if "CertificatePem" not in properties:
            raise TemplateError("the template has no certificate by id, by request or in PEM")
        issuer = properties.get("CACertificatePem")
        try:
            made = self._registry.call(
                "RegisterCertificate",
                certificatePem=properties["CertificatePem"],
                status="INACTIVE",
                **({"caCertificatePem": issuer} if issuer else {}),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                raise
            return str(error.response["resourceId"])  # type: ignore[typeddict-item]  # of this error
        return str(made["certificateId"])

    def apply(self, plan: Plan, certificate_id: str) -> dict[str, str]:
        """Make what is not there and attach it to the certificate, whose status is set last.

        Returns:
            ARNs by the names that the template's resources have.

        Raises:
            TemplateError: something is not known, or conflicts.
        """
        for resource in (plan.thing, plan.certificate):
            _check(resource)
        described = self._registry.call("DescribeCertificate", certificateId=certificate_id)
        certificate = described["certificateDescription"]
        arn, made = certificate["certificateArn"], {}
        if plan.thing is not None:
            made[plan.thing.name] = self._thing(plan.thing)
            thing = plan.thing.properties["ThingName"]
            self._registry.call("AttachThingPrincipal", thingName=thing, principal=arn)
        for policy in plan.policies:
            made[policy.name] = self._policy(policy.properties, arn)
        if plan.certificate is not None:
            made[plan.certificate.name] = arn
        self._set_status(plan.certificate, certificate)
        return made

    def _policy(self, properties: Mapping[str, Any], arn: str) -> str:
        name = properties.get("PolicyName")
        if document := properties.get("PolicyDocument"):
            text = document if isinstance(document, str) else json.dumps(document)
            name = name or f"provisioned-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
            self._make_policy(name, text)
        self._registry.call("AttachPolicy", policyName=name, target=arn)
        return str(self._registry.call("GetPolicy", policyName=name)["policyArn"])

    def _set_status(self, resource: Resource | None, certificate: Mapping[str, Any]) -> None:
        wanted = str((resource.properties if resource else {}).get("Status", "ACTIVE")).upper()
        override = (resource.overrides if resource else {}).get("Status", "REPLACE")
        if certificate["status"] == wanted or (
            override == "DO_NOTHING" and certificate["status"] not in _WAITING
        ):
            return
        if override == "FAIL" and certificate["status"] not in _WAITING:
            raise ConflictError(f"the certificate {certificate['certificateId']} is there already")
        self._registry.call("UpdateCertificate", certificateId=certificate["certificateId"], newStatus=wanted)

    def _thing(self, resource: Resource) -> str:
        properties = resource.properties
        name, options = properties["ThingName"], {}
        if "AttributePayload" in properties:
            options["attributePayload"] = {"attributes": properties["AttributePayload"]}
        if "ThingTypeName" in properties:
            options["thingTypeName"] = properties["ThingTypeName"]
        found = self._find_thing(name)
        if found is None:
            found = str(self._registry.call("CreateThing", thingName=name, **options)["thingArn"])
            self._join(name, properties.get("ThingGroups", []))
        else:
            self._override(name, resource)
        return found

    def _find_thing(self, name: str) -> str | None:
        """Return a thing's ARN, or None: CreateThing is silent about one that is there with the same attributes."""
        try:
            return str(self._registry.call("DescribeThing", thingName=name)["thingArn"])
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return None

    def _override(self, name: str, resource: Resource) -> None:
        """Do with a thing that is there already what the template says."""
        properties = resource.properties
        said = {key: resource.overrides.get(key, "DO_NOTHING") for key in properties if key in _OVERRIDES}
        if failing := [key for key, override in said.items() if override == "FAIL"]:
            raise ConflictError(f"the thing {name} is there already, and its {failing[0]} must not change")
        if said.get("AttributePayload", "DO_NOTHING") != "DO_NOTHING":
            merge = said["AttributePayload"] == "MERGE"
            payload = {"attributes": properties["AttributePayload"], "merge": merge}
            self._registry.call("UpdateThing", thingName=name, attributePayload=payload)
        if said.get("ThingTypeName") == "REPLACE":
            self._registry.call("UpdateThing", thingName=name, thingTypeName=properties["ThingTypeName"])
        if said.get("ThingGroups", "DO_NOTHING") != "DO_NOTHING":
            groups = properties["ThingGroups"]
            if said["ThingGroups"] == "REPLACE":
                listed = self._registry.call("ListThingGroupsForThing", thingName=name)["thingGroups"]
                for old in {group["groupName"] for group in listed} - set(groups):
                    self._registry.call("RemoveThingFromThingGroup", thingGroupName=old, thingName=name)
            self._join(name, groups)

    def _join(self, name: str, groups: list[str]) -> None:
        for group in groups:
            self._registry.call("AddThingToThingGroup", thingGroupName=group, thingName=name)

    def _make_policy(self, name: str, document: str) -> None:
        """Make a policy, if there is none of that name."""
        try:
            self._registry.call("CreatePolicy", policyName=name, policyDocument=document)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                raise


def own_parameters(certificate: x509.Certificate, certificate_id: str) -> dict[str, str]:
    """Return what a template may ask of the certificate ("AWS::IoT::Certificate::CommonName" and the others)."""
    names = {
        "CommonName": NameOID.COMMON_NAME,
        "Country": NameOID.COUNTRY_NAME,
        "Organization": NameOID.ORGANIZATION_NAME,
        "OrganizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
        "StateName": NameOID.STATE_OR_PROVINCE_NAME,
        "DistinguishedNameQualifier": NameOID.DN_QUALIFIER,
    }
    found = {
        name: str(values[0].value)
        for name, oid in names.items()
        if (values := certificate.subject.get_attributes_for_oid(oid))
    }
    found |= {"Id": certificate_id, "SerialNumber": str(certificate.serial_number)}
    return {f"AWS::IoT::Certificate::{name}": value for name, value in found.items()}


def _check(resource: Resource | None) -> None:
    if resource is None:
        return
    known = _OF_A_CERTIFICATE if resource.kind == "AWS::IoT::Certificate" else _OF_A_THING
    unknown = [key for key in resource.properties if key not in known]
    if known is _OF_A_THING and not resource.properties.get("ThingName"):
        unknown = ["a thing without ThingName"]
    unknown += [
        f"OverrideSettings {key}: {value}"
        for key, value in resource.overrides.items()
        if key not in known or value not in _OVERRIDES.get(key, ())
    ]
    if unknown:
        raise TemplateError(f"{', '.join(unknown)}: not supported here")
