"""The policy variables of an X.509 certificate.

Source: developerguide/cert-policy-variables.md of awsdocs/aws-iot-docs.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

ATTRIBUTES: Final = {
    "DistinguishedNameQualifier": NameOID.DN_QUALIFIER,
    "Country": NameOID.COUNTRY_NAME,
    "Organization": NameOID.ORGANIZATION_NAME,
    "OrganizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "State": NameOID.STATE_OR_PROVINCE_NAME,
    "CommonName": NameOID.COMMON_NAME,
    "SerialNumber": NameOID.SERIAL_NUMBER,
    "Title": NameOID.TITLE,
    "Surname": NameOID.SURNAME,
    "GivenName": NameOID.GIVEN_NAME,
    "Initials": NameOID.INITIALS,
    "Pseudonym": NameOID.PSEUDONYM,
    "GenerationQualifier": NameOID.GENERATION_QUALIFIER,
}
ALTERNATIVE_NAMES: Final = {
    "RFC822Name": x509.RFC822Name,
    "DNSName": x509.DNSName,
    "DirectoryName": x509.DirectoryName,
    "UniformResourceIdentifier": x509.UniformResourceIdentifier,
    "IPAddress": x509.IPAddress,
}
PARTIES: Final = ("Subject", "Issuer")

# "Certificate attributes that contain arrays are limited to five items."
_MOST_VALUES = 5
_SPECIAL = str.maketrans({sign: f"\\{sign}" for sign in ',"\\+=<>;'})


def certificate_variables(certificate: x509.Certificate) -> dict[str, tuple[str, ...]]:
    """Return the values of each certificate policy variable that has one, by its name without index.

    Special characters carry a backslash, as on AWS. The serial number is decimal.
    """
    found: dict[str, tuple[str, ...]] = {}
    names = {"Subject": certificate.subject, "Issuer": certificate.issuer}
    extensions = {"Subject": x509.SubjectAlternativeName, "Issuer": x509.IssuerAlternativeName}
    for party in PARTIES:
        for attribute, oid in ATTRIBUTES.items():
            values = [str(value.value) for value in names[party].get_attributes_for_oid(oid)]
            _add(found, f"iot:Certificate.{party}.{attribute}", values)
        try:
            alternative = certificate.extensions.get_extension_for_class(extensions[party]).value
        except (x509.ExtensionNotFound, ValueError):
            continue
        for kind, name_class in ALTERNATIVE_NAMES.items():
            texts = [_text(value) for value in alternative.get_values_for_type(name_class)]  # type: ignore[attr-defined]
            _add(found, f"iot:Certificate.{party}.AlternativeName.{kind}", texts)
    found["iot:Certificate.SerialNumber"] = (str(certificate.serial_number),)
    return found


def indexed(values: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the variables as policies write them: ``X`` the first value, ``X.1`` the second, ``X.List`` all."""
    found: dict[str, tuple[str, ...]] = {}
    for name, all_values in values.items():
        found[name] = all_values[:1]
        found[f"{name}.List"] = all_values
        for place, value in enumerate(all_values):
            found[f"{name}.{place}"] = (value,)
    found["iot:Certificate.AvailableKeys"] = tuple(values)
    return found


def _add(found: dict[str, tuple[str, ...]], name: str, values: Iterable[str]) -> None:
    kept = tuple(value.translate(_SPECIAL) for value in list(values)[:_MOST_VALUES])
    if kept:
        found[name] = kept


def _text(value: object) -> str:
    return value.rfc4514_string() if isinstance(value, x509.Name) else str(value)
