"""A local AWS IoT Core in one command: the emulator for the other AWS APIs, broker, bridge and data plane."""
