"""Waiting for trades to be stored: until they are, or until nobody stores them any more."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.kafka import TRADES_GROUP
from common.settings import SecretStr
from stream_processor.offsets import Progress
from stream_processor.settings import StreamProcessorSettings

LONG_SECONDS = 3600.0

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    """Return a progress that has reached nothing; its Kafka is never asked."""
    secret = SecretStr("secret")
    return Progress(
        StreamProcessorSettings(
            market_home=tmp_path,
            market_jars=tmp_path,
            kafka_port=1,
            kafka_stream_processor_password=secret,
            cassandra_stream_processor_password=secret,
        ),
        TRADES_GROUP,
    )


def test_a_wait_ends_when_it_is_given_up(progress: Progress) -> None:
    started = threading.Event()

    def wait() -> bool:
        started.set()
        return progress.wait_for({("market", 0): 1}, LONG_SECONDS)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        started.wait()
        progress.give_up()
        assert waiting.result() is False
    assert progress.wait_for({("market", 0): 1}, LONG_SECONDS) is False


def test_what_is_stored_already_needs_no_wait(progress: Progress) -> None:
    progress.give_up()
    assert progress.wait_for({}, LONG_SECONDS) is True
