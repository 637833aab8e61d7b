"""A compose project for each file of tests."""

from collections.abc import Iterator

import pytest

from compose_stack import BUILD_SECONDS, Compose, has_engine


@pytest.fixture(scope="module")
def clean() -> Iterator[Compose]:
    """Build the images and give a project without containers and data; remove those again in the end."""
    if not has_engine():
        pytest.skip("needs a Docker engine")
    compose = Compose("market-faults")
    every = ("--profile", "*")
    compose.run(*every, "down", "--volumes", "--remove-orphans", "--timeout", "30")
    compose.run("--profile", "cluster", "build", "--quiet", seconds=BUILD_SECONDS)
    yield compose
    compose.run(*every, "down", "--volumes", "--remove-orphans", "--timeout", "30")


@pytest.fixture(scope="module")
def fresh(clean: Compose) -> Compose:
    """Start everything from nothing."""
    clean.up()
    return clean
