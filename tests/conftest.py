"""The one stack and the one browser that all tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from receiver import alert_url
from stack import Stack, free_ports

PATIENCE_MS = 60_000
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
)

# Neither a slow example nor slow data is a failure: both are so on a busy host.
hypothesis.settings.register_profile(
    "busy host", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy host")


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Make a home of its own, point this process to it, and remove everything at the end."""
    # Another topic than the default, so that every test shows that the setting reaches each service.
    # Alerts go to a port where a test may receive them, and are looked for more often than a user needs.
    stack = Stack(
        tmp_path_factory.mktemp("market"),
        KAFKA_TOPIC_NAME="ticks",
        MARKET_ALERTS=alert_url(free_ports(1)[0]),
        WATCH_EVERY_SECONDS="5",
    )
    os.environ |= stack.settings
    yield stack
    if stack.feed is not None:
        stack.stop()


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Return a stack that is up and whose feed sends only replays."""
    if shared_stack.feed != "none":
        shared_stack.ensure("none")
    return shared_stack


@pytest.fixture(scope="module")
def demo_stack(shared_stack: Stack) -> Stack:
    """Return a stack that came up on an empty store with the demo feed."""
    if shared_stack.feed != "demo":
        shared_stack.start_empty("demo")
    return shared_stack


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium, without a window."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return an empty home; no other setting is set."""
    for name in list(os.environ):
        if name.startswith(("FINNHUB_", "MARKET_", "KAFKA_", "FEED_", "CASSANDRA_", "JOURNAL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MARKET_HOME", str(tmp_path))
    return tmp_path
