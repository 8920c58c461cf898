"""AWS IoT's data plane beside the message broker: HTTP, Device Shadow and Jobs, as a trusted client of any broker."""
