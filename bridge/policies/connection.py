"""What policies can ask about a connection: the values of condition keys and policy variables.

A value is a tuple of texts. It is empty where the key is known and has no value (a thing without the attribute), and
None where it cannot be known at this place (the address of a client that Mosquitto serves).
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final

from cryptography import x509

from bridge.policies.certificates import (
    ALTERNATIVE_NAMES,
    ATTRIBUTES,
    PARTIES,
    certificate_variables,
    indexed,
)

if TYPE_CHECKING:
    from bridge.policies.statements import Policy

Values = tuple[str, ...]

_ATTRIBUTE: Final = re.compile(r"iot:connection\.thing\.attributes\[(?P<name>[^\]]+)\]", re.IGNORECASE)
_INDEX: Final = re.compile(r"\.(?:\d+|list)$")
_CERTIFICATE: Final = frozenset(
    f"iot:certificate.{party}.{name}".lower()
    for party in PARTIES
    for name in (*ATTRIBUTES, *(f"AlternativeName.{kind}" for kind in ALTERNATIVE_NAMES))
)
_CLOCK: Final = frozenset({"aws:currenttime", "aws:epochtime"})
_CONNECT_ALONE: Final = frozenset({"iot:connectattributes", "iot:lastwilltopic"})
_OTHERS: Final = frozenset(
    {
        "aws:securetransport",
        "aws:sourceip",
        "iot:certificate.availablekeys",
        "iot:certificate.serialnumber",
        "iot:certificateid",
        "iot:clientid",
        "iot:connection.thing.isattached",
        "iot:connection.thing.thingname",
        "iot:connection.thing.thingtypename",
        "iot:domainname",
    }
)
# The guide's table of thing policy variables does not have it, but its examples use it (pub-sub-policy.md,
# iot-dc-runjobs-prepare.md), and so do public projects.
_ALSO: Final = {"iot:thing.thingname": "iot:connection.thing.thingname"}
# Values of a certificate with one of these signs, or longer than this, are not filled in (cert-policy-variables.md).
_NOT_FILLED_IN: Final = re.compile(r"[*$+?#]")
_LONGEST: Final = 1024


def canonical(key: str) -> str | None:
    """Return the key as `Connection.values` takes it; None for one that AWS IoT's documents do not have.

    Letter case does not matter, but for the name of a thing's attribute.
    """
    attribute = _ATTRIBUTE.fullmatch(key)
    if attribute:
        return f"iot:connection.thing.attributes[{attribute['name']}]"
    lowered = _ALSO.get(key.lower(), key.lower())
    known = lowered in _OTHERS or lowered in _CLOCK or lowered in _CONNECT_ALONE
    return lowered if known or _INDEX.sub("", lowered) in _CERTIFICATE else None


def asks_for_thing(key: str) -> bool:
    """Whether the (canonical) key is about what DescribeThing says."""
    return key.startswith("iot:connection.thing.attributes[") or key == "iot:connection.thing.thingtypename"


def asks_for_time(key: str) -> bool:
    """Whether the (canonical) key has another value at each request."""
    return key in _CLOCK


@dataclass(frozen=True)
class Thing:
    """A thing that a certificate is attached to; ``policies`` are those of its groups and their parents."""

    name: str
    type_name: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    policies: "tuple[Policy, ...]" = ()


@dataclass(frozen=True)
class Connection:
    """What is known of a connection.

    Attributes:
        client_id: as in CONNECT; "" where there is none, which is over HTTPS.
        common_name: of the certificate's subject; without ``certificate`` all that is known of it.
        things: names of the things that the certificate is attached to.
        certificate: the client's, or its `certificate_variables`; read when a policy asks for it.
        source_ip: the client's address; None: not known here.
        connect_attributes: of ``PersistentConnect`` and ``LastWill`` what CONNECT asks for; None: not known here.
        last_will_topic: of the last will, if there is one.
        thing: the name of the thing that it is; None: as the client id.
        domain_name: the name that the client asked for in TLS (SNI), "" if it asked for none; None: not known here.
    """

    client_id: str
    common_name: str
    things: tuple[str, ...]
    certificate: x509.Certificate | Mapping[str, Values] | None = None
    source_ip: str | None = None
    connect_attributes: Values | None = None
    last_will_topic: str | None = None
    domain_name: str | None = None
    thing: str | None = None

    @property
    def thing_name(self) -> str:
        """The name of the thing that it is, if it is attached to the certificate."""
        return self.client_id if self.thing is None else self.thing

    @cached_property
    def _values(self) -> dict[str, Values | None]:
        attached = self.thing_name in self.things
        found: dict[str, Values | None] = {
            "aws:securetransport": ("true",),
            "aws:sourceip": _one(self.source_ip),
            "iot:clientid": (self.client_id,) if self.client_id else (),
            "iot:connection.thing.isattached": (str(attached).lower(),),
            "iot:connection.thing.thingname": (self.thing_name,) if attached else (),
            "iot:domainname": () if self.domain_name == "" else _one(self.domain_name),
        }
        if self.certificate is None and self.common_name:
            found["iot:certificate.subject.commonname"] = (self.common_name,)
        return found

    @cached_property
    def _of_certificate(self) -> dict[str, Values]:
        known = self.certificate
        if known is None:
            return {}
        variables = certificate_variables(known) if isinstance(known, x509.Certificate) else known
        return {key.lower(): value for key, value in indexed(variables).items()}

    def values(
        self, key: str, *, action: str, thing: Thing | None, certificate_id: str, home: str
    ) -> Values | None:
        """Return the values of a canonical key for a request of ``action``.

        Args:
            key: see `canonical`.
            action: lower case, such as ``iot:publish``.
            thing: what the registry says of the thing that is named as the client id is.
            certificate_id: of the certificate.
            home: ``arn:aws:iot:<region>:<account>:``.
        """
        if key in self._values:
            return self._values[key]
        if key in _CLOCK:
            return (_clock(key),)
        if key in _CONNECT_ALONE:
            return self._connect_values(key, home) if action == "iot:connect" else ()
        if key == "iot:certificateid":
            return _one(certificate_id or None)
        if asks_for_thing(key):
            return self._thing_values(key, thing)
        return None if self.certificate is None else self._of_certificate.get(key, ())

    def _connect_values(self, key: str, home: str) -> Values | None:
        if self.connect_attributes is None or key == "iot:connectattributes":
            return self.connect_attributes
        return () if self.last_will_topic is None else (f"{home}topic/{self.last_will_topic}",)

    def _thing_values(self, key: str, thing: Thing | None) -> Values | None:
        if self.thing_name not in self.things:
            return ()
        if thing is None:
            return None
        name = key.removeprefix("iot:connection.thing.attributes[")
        found = thing.type_name if name == key else thing.attributes.get(name[:-1])
        return (found,) if found else ()


def fillable(key: str, value: str) -> bool:
    """Whether AWS fills this value in where a policy has ``${key}``."""
    if not key.startswith("iot:certificate."):
        return True
    return len(value) <= _LONGEST and not _NOT_FILLED_IN.search(value)


def _one(value: str | None) -> Values | None:
    return None if value is None else (value,)


def _clock(key: str) -> str:
    now = time.time()
    return datetime.fromtimestamp(now, UTC).isoformat() if key == "aws:currenttime" else str(int(now))
