"""What an operator does to a whole fleet: firmware by AWS IoT Jobs, settings by device shadows."""
