"""The client aiomqtt, of asyncio."""

import asyncio
import ssl
from importlib import metadata

import aiomqtt

from testbed.drills.clients.paho_mqtt import user_property
from testbed.drills.clients.visit import PATIENCE_SECONDS, USER_PROPERTY, Visit


def version() -> str:
    """Return the installed version."""
    return metadata.version("aiomqtt")


def echo(visit: Visit) -> None:
    """Publish to itself."""
    asyncio.run(asyncio.wait_for(_echo(visit), PATIENCE_SECONDS))


async def _echo(visit: Visit) -> None:
    context = ssl.create_default_context(cafile=visit.ca)
    context.load_cert_chain(visit.certificate(), visit.key())
    visit.doing = "connect"
    async with aiomqtt.Client(
        visit.host,
        visit.port,
        identifier=visit.name,
        protocol=aiomqtt.ProtocolVersion.V5 if visit.is_five else aiomqtt.ProtocolVersion.V311,
        tls_context=context,
    ) as client:
        visit.doing = "subscribe"
        await client.subscribe(visit.topic, qos=1)
        visit.doing = "publish"
        await client.publish(
            visit.topic, b"hello", qos=1, properties=user_property() if visit.is_five else None
        )
        visit.doing = "receive"
        message = await anext(aiter(client.messages))
        visit.expect("payload", message.payload, b"hello")
        if visit.is_five:
            visit.expect(
                "user properties", getattr(message.properties, "UserProperty", None), [USER_PROPERTY]
            )
        visit.doing = "disconnect"
