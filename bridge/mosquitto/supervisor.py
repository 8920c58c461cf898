"""Runs Mosquitto: keeps its access list and revocations as the registry says, restarts it, tells of presence."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import psutil
import structlog
from paho.mqtt.enums import CallbackAPIVersion

from bridge.mosquitto.access import access_list
from bridge.mosquitto.configuration import Files
from bridge.mosquitto.directory import Directory, Snapshot
from bridge.mosquitto.presence import PresenceLog
from bridge.mosquitto.revocation import Revocations
from bridge.topics import DATA_PLANE_READY_TOPIC, READY_TOPIC

log = structlog.get_logger()

_LOOK_SECONDS = 1.0
_PRESENCE_SECONDS = 0.1
_STOP_SECONDS = 10.0
_CLIENT_ID = "$supervisor"
_READY_TOPICS = {READY_TOPIC, DATA_PLANE_READY_TOPIC}


class Supervisor:
    """One Mosquitto and what it needs."""

    def __init__(
        self,
        program: Path,
        files: Files,
        directory: Directory,
        revocations: Revocations,
        *,
        trusted: tuple[str, ...],
    ) -> None:
        """Start nothing yet.

        Args:
            program: Mosquitto.
            files: its files; the configuration is written already.
            directory: what the registry says.
            revocations: signs the list of revoked certificates.
            trusted: common names that may do everything: the bridge's.
        """
        self._program, self._files = program, files
        self._directory, self._revocations = directory, revocations
        self._trusted = trusted
        self._presence = PresenceLog(
            files.log, files.folder / "presence.json", unseen=frozenset({*trusted, _CLIENT_ID})
        )
        self._snapshot: Snapshot | None = None
        # What Mosquitto has been told, which may be a moment older than the snapshot.
        self._admitted: frozenset[str] = frozenset()
        self._mosquitto: subprocess.Popen[bytes] | None = None
        self._internal: mqtt.Client | None = None
        self._stopped = threading.Event()
        self._wanted = threading.Event()
        # Bridge and data plane are connected and subscribed to Mosquitto as it runs now, and devices are let in.
        self._said_ready: set[str] = set()
        self._ready = threading.Event()
        self._open = False
        self.connected = threading.Event()

    @property
    def admitted(self) -> frozenset[str]:
        """The common names that Mosquitto knows and lets do what their policies say."""
        return self._admitted

    def run(self) -> None:
        """Supervise until `stop`."""
        while not self._stopped.is_set() and not self._look():
            self._stopped.wait(_LOOK_SECONDS)
        if self._stopped.is_set():
            return
        self._end_leftover()
        presence = threading.Thread(target=self._tell_presence, daemon=True)
        self._start()
        presence.start()
        while not self._stopped.is_set():
            self._wanted.wait(_LOOK_SECONDS)
            self._wanted.clear()
            assert self._mosquitto is not None  # noqa: S101  # it was started above
            if self._mosquitto.poll() is not None:
                log.error("mosquitto_died", status=self._mosquitto.returncode)
                self._start()
            self._look()
            self._send_away_strangers()
        presence.join(timeout=_STOP_SECONDS)
        if self._internal:
            self._internal.disconnect()
            self._internal.loop_stop()
        self._end()

    def stop(self) -> None:
        """Let `run` end, and Mosquitto with it."""
        self._stopped.set()
        self._wanted.set()

    def look_soon(self) -> None:
        """Look at the registry now: somebody waits to be admitted."""
        self._wanted.set()

    # --- the registry ----------------------------------------------------------

    def _look(self) -> bool:
        """Read the registry and tell Mosquitto what has changed; returns whether it answered."""
        try:
            snapshot = self._directory.look()
        except Exception as error:  # the control plane is away: what Mosquitto knows goes on
            log.warning("registry_unreachable", error=str(error))
            return False
        self._report(snapshot)
        text = access_list(sorted(snapshot.access.items()), self._trusted)
        changed = self._files.write(self._files.access_list, text.encode())
        revoked = self._revocations.change(revoke=set(snapshot.revoked), restore=set(snapshot.in_force))
        self._snapshot = snapshot
        if self._mosquitto is not None:
            opened = self._ready.is_set() and not self._open
            if revoked or opened:
                self._open = self._open or opened
                self._write_revocations()
            if changed or revoked or opened:
                self._reload()
        if self._open:
            self._admitted = frozenset(snapshot.access)
        return True

    def _write_revocations(self) -> None:
        # Until bridge and data plane have subscribed, a message would be acknowledged and go nowhere: nobody gets in.
        assert self._snapshot is not None  # noqa: S101  # there is one before Mosquitto starts
        shut_out = () if self._open else self._snapshot.in_force
        self._files.write(self._files.revocations, self._revocations.sign(shut_out))

    def _report(self, snapshot: Snapshot) -> None:
        before = self._snapshot.access if self._snapshot else {}
        for name, allowed in snapshot.access.items():
            if allowed.left_out and (name not in before or before[name].left_out != allowed.left_out):
                log.warning("policy_not_expressible", client=name, left_out=sorted(allowed.left_out))
        known = self._snapshot.refused if self._snapshot else {}
        for name, why in snapshot.refused.items():
            if known.get(name) != why:
                log.warning("client_refused", client=name, reason=f"{why}, which Mosquitto does not tell")

    def _reload(self) -> None:
        """Let Mosquitto read its lists anew, and wait until it has."""
        assert self._mosquitto is not None  # noqa: S101  # the caller looked
        marker = self._files.log.stat().st_size if self._files.log.exists() else 0
        self._mosquitto.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and self._mosquitto.poll() is None:
            with self._files.log.open("rb") as written:
                written.seek(marker)
                if b"Reloading config" in written.read():
                    # It has taken the signal; the lists are read before it serves anybody again.
                    return
            time.sleep(0.01)

    def _send_away_strangers(self) -> None:
        """End the connections of names that the registry does not know (any more).

        Mosquitto lets in whom the authority has signed; without a line in the access list such a client can do
        nothing. Taking over its client id is the one way to end it from outside.
        """
        if not self._open:
            return
        for name in self._presence.present - self._admitted:
            log.warning("stranger_sent_away", client=name)
            client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, transport="unix")
            try:
                client.connect(str(self._files.socket))
                client.loop(timeout=0.5)
                client.disconnect()
            except OSError as error:
                log.warning("stranger_stays", client=name, error=str(error))

    # --- Mosquitto -------------------------------------------------------------

    def _start(self) -> None:
        self._said_ready.clear()
        self._ready.clear()
        self._open = False
        self._admitted = frozenset()
        self._write_revocations()
        self._files.socket.unlink(missing_ok=True)
        self._mosquitto = subprocess.Popen(
            [str(self._program), "-c", str(self._files.configuration)], stdin=subprocess.DEVNULL
        )
        self._pid_file.write_text(str(self._mosquitto.pid))
        log.info("mosquitto_started", pid=self._mosquitto.pid)

    def _end(self) -> None:
        assert self._mosquitto is not None  # noqa: S101  # it was started
        self._mosquitto.terminate()
        try:
            self._mosquitto.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._mosquitto.kill()
            self._mosquitto.wait()
        self._pid_file.unlink(missing_ok=True)

    def _end_leftover(self) -> None:
        """End the Mosquitto of a supervisor that was killed: it has our port."""
        try:
            leftover = psutil.Process(int(self._pid_file.read_text()))
            if str(self._files.configuration) in leftover.cmdline():
                leftover.terminate()
                leftover.wait(_STOP_SECONDS)
        except (FileNotFoundError, ValueError, psutil.Error):
            return

    @property
    def _pid_file(self) -> Path:
        return self._files.folder / "mosquitto.pid"

    # --- presence --------------------------------------------------------------

    def _tell_presence(self) -> None:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=_CLIENT_ID, transport="unix")
        client.reconnect_delay_set(1, 1)
        client.on_connect = self._on_internal_connect
        client.on_message = self._on_ready
        client.on_disconnect = lambda *_: self.connected.clear()
        self._internal = client
        while not self._stopped.is_set():
            try:
                client.connect(str(self._files.socket))
                break
            except OSError:
                self._stopped.wait(0.05)  # it does not listen yet
        client.loop_start()
        while not self._stopped.wait(_PRESENCE_SECONDS):
            if not self._ready.is_set():
                continue  # nobody would hear it
            try:
                self._publish_events(client)
            except (OSError, RuntimeError, ValueError) as error:
                log.warning("presence_untold", error=str(error))

    def _on_internal_connect(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe([(topic, 0) for topic in _READY_TOPICS])
        self.connected.set()

    def _on_ready(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.retain:
            return  # it was said to the Mosquitto before this one
        self._said_ready.add(message.topic)
        if not self._ready.is_set() and self._said_ready >= _READY_TOPICS:
            self._ready.set()
            self._wanted.set()

    def _publish_events(self, client: mqtt.Client) -> None:
        sent = [
            client.publish(topic, payload, qos=1)
            for topic, payload in self._presence.events(self._certificate_id)
        ]
        for message in sent:
            message.wait_for_publish(10)
        if sent:
            self._presence.remember()

    def _certificate_id(self, name: str) -> str:
        return self._snapshot.certificate_ids.get(name, "") if self._snapshot else ""


def running_user() -> str | None:
    """Whom Mosquitto must stay: it becomes "mosquitto" if root starts it, who cannot read our files."""
    return "root" if os.geteuid() == 0 else None
