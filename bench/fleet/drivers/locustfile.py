"""Make the load that the file named by ``LOAD`` describes (see `bench.fleet.load.Load`), with locust's own MQTT user.

Runs in an environment of its own: ``locust --headless -f locustfile.py``.
"""

import json
import os
import ssl
from pathlib import Path

import gevent
from locust import events, task
from locust.contrib.mqtt import MqttUser
from locust.user.wait_time import constant

WINDOW = 20
LOAD = json.loads(Path(os.environ["LOAD"]).read_text())
PAYLOAD = b"x" * LOAD["payload_bytes"]
DONE = {"connected": 0, "published": 0, "connect_seconds": 0.0}
names = iter(LOAD["names"])


@events.request.add_listener
def on_request(request_type, name, exception, **_):
    if exception is None and "publish" in name:
        DONE["published"] += 1


class Station(MqttUser):
    host, port = LOAD["host"], LOAD["port"]
    wait_time = constant(0)

    def __init__(self, environment):
        self.client_id = next(names)
        if LOAD["certificates"]:
            self.tls_context = ssl.create_default_context(cafile=LOAD["ca"])
            stem = f"{LOAD['certificates']}/{self.client_id}"
            self.tls_context.load_cert_chain(f"{stem}.crt", f"{stem}.key")
        super().__init__(environment)
        self.topic = LOAD["topic"].format(station_id=self.client_id)
        self.count = 0

    def on_start(self):
        while not self.client.is_connected():
            gevent.sleep(0.01)
        DONE["connected"] += 1

    @task
    def publish(self):
        if self.count >= LOAD["messages"]:
            gevent.sleep(0.1)
            if DONE["published"] >= len(LOAD["names"]) * LOAD["messages"]:
                self.environment.runner.quit()
            return
        # As paho: what exceeds the window waits in its queue; a pause every window lets its loop run.
        for _ in range(min(WINDOW, LOAD["messages"] - self.count)):
            self.client.publish(self.topic, PAYLOAD, qos=1)
            self.count += 1
        gevent.sleep(LOAD["interval"])


@events.quit.add_listener
def on_quit(**_):
    with open(LOAD["report"], "w") as report:
        json.dump(DONE, report)
