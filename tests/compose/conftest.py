"""The one compose project that these tests share."""

from collections.abc import Iterator

import pytest

from compose_stack import BUILD_SECONDS, HEALTH_SECONDS, Compose, has_engine


@pytest.fixture(scope="session")
def compose() -> Iterator[Compose]:
    """Build the images, start from a clean state, and remove everything but the images at the end."""
    if not has_engine():
        pytest.skip("needs a Docker engine")
    compose = Compose("market-test")
    compose.run("down", "--volumes", "--timeout", "30")
    compose.up("--build", seconds=BUILD_SECONDS + HEALTH_SECONDS)
    yield compose
    compose.run("down", "--volumes", "--timeout", "30")
