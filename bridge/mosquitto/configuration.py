"""The files that Mosquitto reads."""

from dataclasses import dataclass
from pathlib import Path

# AWS IoT's limit of a payload is 128 KiB; topic and header come on top.
_MAX_PACKET_BYTES = 129 * 1024


@dataclass(frozen=True)
class Files:
    """Where Mosquitto's files are: all in one folder that is nobody else's."""

    folder: Path

    @property
    def configuration(self) -> Path:
        """mosquitto.conf."""
        return self.folder / "mosquitto.conf"

    @property
    def access_list(self) -> Path:
        """Who may publish and receive what."""
        return self.folder / "access.acl"

    @property
    def revocations(self) -> Path:
        """The certificates that must not connect."""
        return self.folder / "revoked.crl"

    @property
    def log(self) -> Path:
        """Mosquitto's log: who came and who went is read from it."""
        return self.folder / "mosquitto.log"

    @property
    def socket(self) -> Path:
        """The internal listener; whoever may open it may do everything."""
        return self.folder / "internal.sock"

    def write(self, path: Path, content: bytes) -> bool:
        """Write a file, whole or not at all; returns whether it is different from before."""
        if path.is_file() and path.read_bytes() == content:
            return False
        partial = path.with_suffix(".partial")
        partial.touch(mode=0o600)
        partial.write_bytes(content)
        partial.rename(path)
        return True


def configuration(
    files: Files, *, host: str, port: int, certificate: Path, key: Path, client_ca: Path, user: str | None
) -> str:
    """mosquitto.conf (Mosquitto 2.0).

    Args:
        files: where the other files are.
        host: address to listen on.
        port: for devices: TLS, client certificates, MQTT 3.1.1 and 5.
        certificate: the broker's.
        key: its key.
        client_ca: authority of the clients' certificates.
        user: whom Mosquitto becomes if it is started by root; None for whoever starts it.
    """
    return "\n".join(
        [
            f"user {user}" if user else "# no change of user",
            # A certificate is all that a device shows. Anonymous are the clients of the internal listener alone.
            "per_listener_settings false",
            "allow_anonymous true",
            f"acl_file {files.access_list}",
            f"listener {port} {host}",
            f"cafile {client_ca}",
            f"certfile {certificate}",
            f"keyfile {key}",
            f"crlfile {files.revocations}",
            "require_certificate true",
            "use_identity_as_username true",
            # Nobody is anybody else: whatever client id it asks for, a client gets its certificate's name.
            "use_username_as_clientid true",
            f"listener 0 {files.socket}",
            # Without these, Mosquitto drops what exceeds 20 in flight and 1,000 queued.
            "max_inflight_messages 0",
            "max_queued_messages 0",
            "max_queued_bytes 0",
            f"max_packet_size {_MAX_PACKET_BYTES}",
            "set_tcp_nodelay true",
            "persistence true",
            f"persistence_location {files.folder}/",
            # Mosquitto acknowledges from memory and writes its state at intervals, a second at the least.
            "autosave_interval 1",
            "autosave_on_changes false",
            f"log_dest file {files.log}",
            "log_type error",
            "log_type warning",
            "log_type notice",
            "log_type information",
            "connection_messages true",
            "log_timestamp true",
            "",
        ]
    )
