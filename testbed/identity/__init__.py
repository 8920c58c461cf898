"""Certificates: the authority that signs them, and their registration."""
