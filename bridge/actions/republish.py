"""The ``republish`` action: back to the broker, on another topic, with MQTT 5 properties if the rule says so."""

import base64
import binascii
from collections.abc import Sequence

from bridge.actions.base import Services, one_by_one
from bridge.actions.parameters import Parameters
from bridge.messages import Failure, Outgoing
from bridge.sql import CompiledTemplate, Message, MqttProperties, RuleSqlError

_FORMATS = {"": False, "UNSPECIFIED_BYTES": False, "UTF8_DATA": True}
_HEADERS = ("payloadFormatIndicator", "contentType", "responseTopic", "correlationData", "messageExpiry")


class RepublishAction:
    """Publishes to a topic that is a substitution template."""

    name = "republish"
    max_batch = 1

    def __init__(self, parameters: Parameters, services: Services) -> None:
        """Read topic (a template), qos, headers (templates, but for the keys of user properties)."""
        self._topic = parameters.template("topic")
        self._qos = int(parameters.choice("qos", ("0", "1"), "0"))
        self._headers = _Headers(parameters.structure("headers")) if parameters.has("headers") else None
        parameters.role()
        self._services = services

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return one_by_one(batch, self._topic, self._publish)

    def _publish(self, outgoing: Outgoing) -> None:
        # "$$aws/..." is how a rule writes a reserved topic: a single $ would start a template.
        topic = self._topic.render(outgoing.message)
        topic = f"${topic.removeprefix('$$')}" if topic.startswith("$$") else topic
        properties = self._headers.render(outgoing.message) if self._headers else None
        self._services.publish(topic, outgoing.payload, self._qos, properties)


class _Headers:
    """MQTT 5 properties of what is published (API reference, MqttHeaders)."""

    def __init__(self, parameters: Parameters) -> None:
        self._texts: dict[str, CompiledTemplate] = {
            name: parameters.template(name) for name in _HEADERS if parameters.has(name)
        }
        self._user = [
            (pair.template("key"), pair.template("value")) for pair in parameters.structures("userProperties")
        ]

    def render(self, message: Message) -> MqttProperties:
        found = {name: template.render(message) for name, template in self._texts.items()}
        indicator = found.get("payloadFormatIndicator", "")
        if indicator not in _FORMATS:
            raise RuleSqlError(f"payloadFormatIndicator is UTF8_DATA or UNSPECIFIED_BYTES, not {indicator!r}")
        return MqttProperties(
            content_type=found.get("contentType"),
            payload_is_utf8=_FORMATS[indicator],
            response_topic=found.get("responseTopic"),
            correlation_data=_from_base64(found.get("correlationData")),
            user=tuple((key.render(message), value.render(message)) for key, value in self._user),
            message_expiry=_seconds(found.get("messageExpiry")),
        )


def _from_base64(text: str | None) -> bytes | None:
    try:
        return None if text is None else base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise RuleSqlError(f"correlationData is base64, not {text!r}") from error


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal():
        raise RuleSqlError(f"messageExpiry is a number of seconds, not {text!r}")
    return int(text)
