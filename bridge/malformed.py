"""The one error of reading MQTT."""


class MalformedPacketError(Exception):
    """The peer sent something that MQTT does not allow; its connection must be closed (MQTT 3.1.1, 4.8).

    ``reason`` is the reason code with which an MQTT 5 connection ends (MQTT 5.0, 2.4).
    """

    def __init__(self, message: str, reason: int = 0x81) -> None:
        """Say what it sent; 0x81 is "Malformed Packet"."""
        super().__init__(message)
        self.reason = reason
