"""What the registry says of all certificates at once, kept up to date with few calls."""

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.x509.oid import NameOID

from bridge.mosquitto.access import Access, access
from bridge.policies import Connection, Policies, Policy, Thing
from bridge.policies.certificates import certificate_variables
from bridge.registry import Certificate, Registry, home

# Attachments of things are looked at again in turn, so many at each look.
_AGAIN = 20
# Since a policy asks for attributes of things, what they are is asked of so many at each look.
_UNDESCRIBED = 200


@dataclass(frozen=True)
class _Known:
    arn: str
    name: str
    serial: int
    certificate: Mapping[str, tuple[str, ...]]
    things: tuple[str, ...]
    # What a policy can ask of them, but for the policies of their groups.
    described: Mapping[str, Thing] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """Who may do what: access by common name, and the certificates that are revoked or in force."""

    access: dict[str, Access]
    certificate_ids: dict[str, str]
    revoked: frozenset[int]
    in_force: frozenset[int]
    # Why a client may not even connect, where its policies ask for what is not known here.
    refused: Mapping[str, str] = field(default_factory=dict)


class Directory:
    """Follows the registry."""

    def __init__(self, registry: Registry) -> None:
        """Ask nothing yet."""
        self._registry = registry
        self._known: dict[str, _Known] = {}
        self._turn: list[str] = []
        self._things_asked_for = False

    def look(self) -> Snapshot:
        """Return the registry as it is now.

        Costs a call for every 250 certificates and for every policy, and two for a certificate that is new.

        Raises:
            botocore.exceptions.BotoCoreError, ClientError: the control plane does not answer.
        """
        self._registry.forget_policies()
        attached, of_groups = self._attached(), self._policies_of_groups()
        statuses = self._registry.certificates()
        self._learn(statuses)
        deleted = self._known.keys() - statuses.keys()
        snapshot_access: dict[str, Access] = {}
        ids: dict[str, str] = {}
        refused: dict[str, str] = {}
        for identity, active in statuses.items():
            known = self._known.get(identity)
            if known is None or not active:
                continue
            things = {
                name: replace(known.described.get(name) or Thing(name), policies=of_groups.get(name, ()))
                for name in known.things
            }
            own = attached.get(known.arn, ())
            if not own and not any(thing.policies for thing in things.values()):
                continue
            policies = Policies(own, home(known.arn), identity, things)
            connection = Connection(known.name, known.name, known.things, known.certificate)
            allowed = access(policies, connection)
            if allowed is None:
                unknowable = policies.unknowable(connection)
                if unknowable:
                    refused[known.name] = f"its policies ask for {', '.join(sorted(unknowable))}"
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
        return Snapshot(snapshot_access, ids, frozenset(off), frozenset(on), refused)

    def _learn(self, statuses: Collection[str]) -> None:
        new = [identity for identity in statuses if identity not in self._known]
        self._turn = [identity for identity in self._turn if identity in statuses] or list(self._known)
        again, self._turn = self._turn[:_AGAIN], self._turn[_AGAIN:]
        if self._things_asked_for:
            again += [
                identity
                for identity, known in self._known.items()
                if len(known.described) < len(known.things)
            ][:_UNDESCRIBED]
        lonely = [identity for identity, known in self._known.items() if not known.things][:_AGAIN]
        old = [identity for identity in {*again, *lonely} if identity in statuses]
        wanted = new + old
        with ThreadPoolExecutor(8) as pool:
            for identity, known in zip(wanted, pool.map(self._read, wanted), strict=True):
                if known is not None:
                    self._known[identity] = known

    def _read(self, identity: str) -> _Known | None:
        """Return the certificate, or None if it was deleted meanwhile."""
        try:
            if before := self._known.get(identity):
                things = self._registry.things(before.arn)
                return replace(before, things=things, described=self._describe(things))
            found: Certificate = self._registry.certificate(identity)
            things = self._registry.things(found.arn)
            described = self._describe(things)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None
            raise
        certificate = x509.load_pem_x509_certificate(found.pem.encode())
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        name = str(names[0].value) if names else ""
        variables = certificate_variables(certificate)
        return _Known(found.arn, name, certificate.serial_number, variables, things, described)

    def _describe(self, things: tuple[str, ...]) -> dict[str, Thing]:
        """Ask what the things are, if any policy does."""
        return self._registry.describe_things(things) if self._things_asked_for else {}

    def _attached(self) -> dict[str, tuple[Policy, ...]]:
        """Return policies by the ARN that they are attached to."""
        held: dict[str, list[Policy]] = {}
        for name in self._registry.policies():
            policy = self._registry.policy(name)
            self._things_asked_for = self._things_asked_for or policy.needs_things
            for target in self._registry.targets(name):
                held.setdefault(target, []).append(policy)
        return {target: tuple(policies) for target, policies in held.items()}

    def _policies_of_groups(self) -> dict[str, tuple[Policy, ...]]:
        """Return by thing the policies of its groups and of the groups above those."""
        found: dict[str, tuple[Policy, ...]] = {}
        for group in self._registry.groups():
            policies = self._registry.group_policies(group)
            if not policies:
                continue
            for thing in self._registry.things_in_group(group):
                found[thing] = found.get(thing, ()) + policies
        return found
