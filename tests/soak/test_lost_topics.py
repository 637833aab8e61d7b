"""Topics that are deleted under a running collector and made anew: it waits, and goes on by itself."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.server import ServerConnection

from collector.journal import journal_ids
from collector_process import collector
from feeds import scripted_server
from kafka_topics.server import prepare
from kafka_topics.settings import KafkaTopicsSettings
from kafka_topics.topics import topics
from kill_campaign import collector_settings
from stack import Stack, wait_until
from topics import delete_topic, read_topic, topic_names

pytestmark = pytest.mark.timeout(600)

SYMBOL = "ANEW:A"
FRAMES = 500
# The client asks for a topic that it misses for half a minute before it takes it for lost.
LIMIT_SECONDS = 120


@pytest.fixture
def own_topics(stack: Stack) -> Iterator[KafkaTopicsSettings]:
    """Make topics that nothing else of the stack reads."""
    settings = KafkaTopicsSettings.load().model_copy(update={"kafka_topic_name": "anew"})
    prepare(settings)
    yield settings
    delete_topics(stack, settings)


def delete_topics(stack: Stack, settings: KafkaTopicsSettings) -> None:
    for topic in topics(settings):
        delete_topic(stack, topic.name)


def frame(number: int) -> str:
    trade = {"c": None, "p": number, "s": SYMBOL, "t": time.time_ns() // 1_000_000, "v": 1}
    return json.dumps({"data": [trade], "type": "trade"})


def test_what_comes_while_the_topics_are_missing_is_in_the_new_ones_in_order(
    stack: Stack, own_topics: KafkaTopicsSettings, tmp_path: Path
) -> None:
    topic, events = own_topics.kafka_topic_name, own_topics.events_topic
    deleted = threading.Event()

    def send(connection: ServerConnection) -> None:
        """Send frames before the topics are deleted, and an error and frames after."""
        connection.recv(LIMIT_SECONDS)
        for number in range(FRAMES):
            connection.send(frame(number))
        deleted.wait(LIMIT_SECONDS)
        connection.send('{"type":"error","msg":"said while the topics were missing"}')
        for number in range(FRAMES, 2 * FRAMES):
            connection.send(frame(number))
        for _ in connection:
            continue

    settings = collector_settings(stack) | {"FINNHUB_STOCKS_TICKERS": SYMBOL, "KAFKA_TOPIC_NAME": topic}

    def on_topic() -> list[str]:
        """Return the names of the frames on the topic; a frame that came twice is named once."""
        names = [dict(message.headers())["frame"].decode() for message in read_topic(stack, topic)]
        return list(dict.fromkeys(names))

    with (
        scripted_server(send) as port,
        collector(tmp_path / "home", port, **settings) as running,
    ):
        wait_until(lambda: len(on_topic()) == FRAMES, "the first frames", LIMIT_SECONDS)
        delete_topics(stack, own_topics)
        wait_until(lambda: not {topic, events} & topic_names(stack), "no topics", LIMIT_SECONDS)
        deleted.set()
        wait_until(lambda: running.received() == 2 * FRAMES, "the other trades", LIMIT_SECONDS)
        wait_until(
            lambda: "A topic is missing in Kafka" in running.get("/health")[1], "a problem", LIMIT_SECONDS
        )
        prepare(own_topics)
        # What was in the old topics before is lost with them; the error is a line of the journal too.
        [journal] = journal_ids(running.home / "journal")
        expected = [f"{journal}:{line}" for line in range(FRAMES + 2, 2 * FRAMES + 2)]
        wait_until(lambda: set(expected) <= set(on_topic()), "the other frames", LIMIT_SECONDS)
        assert [name for name in on_topic() if name in expected] == expected
        wait_until(
            lambda: any(
                b"said while the topics were missing" in message.value()
                for message in read_topic(stack, events)
            ),
            "the event",
            LIMIT_SECONDS,
        )
        wait_until(lambda: "A topic is missing" not in running.get("/health")[1], "no problem", LIMIT_SECONDS)
        assert running.process.poll() is None
    assert "Traceback" not in running.said()
