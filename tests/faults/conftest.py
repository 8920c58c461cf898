"""The deployment of the end-to-end tests."""

from tests.e2e.conftest import deployment as deployment  # noqa: PLC0414  # pytest finds fixtures by import
