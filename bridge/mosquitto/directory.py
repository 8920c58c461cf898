"""What the registry says of all certificates at once, kept up to date with few calls."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.x509.oid import NameOID

from bridge.mosquitto.access import Access, access
from bridge.policies import Connection, Policies
from bridge.registry import Certificate, Registry

# Attachments of things are looked at again in turn, so many at each look.
_AGAIN = 20


@dataclass(frozen=True)
class _Known:
    arn: str
    name: str
    serial: int
    things: tuple[str, ...]


@dataclass(frozen=True)
class Snapshot:
    """Who may do what: access by common name, and the certificates that are revoked or in force."""

    access: dict[str, Access]
    certificate_ids: dict[str, str]
    revoked: frozenset[int]
    in_force: frozenset[int]


class Directory:
    """Follows the registry."""

    def __init__(self, registry: Registry) -> None:
        """Ask nothing yet."""
        self._registry = registry
        self._known: dict[str, _Known] = {}
        self._turn: list[str] = []

    def look(self) -> Snapshot:
        """The registry as it is now.

        Costs a call for every 250 certificates and for every policy, and two for a certificate that is new.

        Raises:
            botocore.exceptions.BotoCoreError, ClientError: the control plane does not answer.
        """
        statuses = self._registry.certificates()
        self._learn(statuses)
        deleted = self._known.keys() - statuses.keys()
        attached = self._attached()
        snapshot_access: dict[str, Access] = {}
        ids: dict[str, str] = {}
        for identity, active in statuses.items():
            known = self._known.get(identity)
            if known is None or not active or known.arn not in attached:
                continue
            allowed = access(attached[known.arn], Connection(known.name, known.name, known.things))
            if allowed is None:
                continue
            ids[known.name] = identity
            # Two certificates of a name, in the middle of a rotation: the name may do what either may.
            both = snapshot_access.setdefault(known.name, allowed)
            both.publish |= allowed.publish
            both.receive |= allowed.receive
            both.denied |= allowed.denied
        off = {known.serial for identity, known in self._known.items() if not statuses.get(identity, False)}
        on = {known.serial for identity, known in self._known.items() if statuses.get(identity, False)}
        for identity in deleted:
            del self._known[identity]
        return Snapshot(snapshot_access, ids, frozenset(off), frozenset(on))

    def _learn(self, statuses: Collection[str]) -> None:
        new = [identity for identity in statuses if identity not in self._known]
        self._turn = [identity for identity in self._turn if identity in statuses] or list(self._known)
        again, self._turn = self._turn[:_AGAIN], self._turn[_AGAIN:]
        lonely = [identity for identity, known in self._known.items() if not known.things][:_AGAIN]
        old = [identity for identity in {*again, *lonely} if identity in statuses]
        wanted = new + old
        with ThreadPoolExecutor(8) as pool:
            for identity, known in zip(wanted, pool.map(self._read, wanted), strict=True):
                if known is not None:
                    self._known[identity] = known

    def _read(self, identity: str) -> _Known | None:
        """The certificate, or None if it was deleted meanwhile."""
        try:
            if before := self._known.get(identity):
                return replace(before, things=self._registry.things(before.arn))
            found: Certificate = self._registry.certificate(identity)
            things = self._registry.things(found.arn)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None
            raise
        certificate = x509.load_pem_x509_certificate(found.pem.encode())
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        name = str(names[0].value) if names else ""
        return _Known(found.arn, name, certificate.serial_number, things)

    def _attached(self) -> dict[str, Policies]:
        """Policies by the ARN that they are attached to."""
        self._registry.forget_policies()
        names: dict[str, list[str]] = {}
        for policy in self._registry.policies():
            for target in self._registry.targets(policy):
                names.setdefault(target, []).append(policy)
        document: Callable[[str], dict[str, object]] = self._registry.document
        sets: dict[tuple[str, ...], Policies] = {}
        for held in {tuple(held) for held in names.values()}:
            sets[held] = Policies(tuple(document(name) for name in held))
        return {target: sets[tuple(held)] for target, held in names.items()}
