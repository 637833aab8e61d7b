"""The compose project in a clean state for each file of tests."""

from collections.abc import Iterator

import pytest

from compose_stack import Compose


@pytest.fixture(scope="module")
def fresh(compose: Compose) -> Iterator[Compose]:
    """Start from nothing; settings that a test changed are taken back in the end."""
    settings = dict(compose.settings)
    compose.run("--profile", "cluster", "down", "--volumes", "--timeout", "30")
    compose.up()
    yield compose
    compose.run("--profile", "cluster", "down", "--volumes", "--timeout", "30")
    compose.settings = settings
