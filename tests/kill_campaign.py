"""A collector that is killed at random moments while trades come, on a running stack's Kafka."""

import json
import random
import signal
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from websockets.sync.server import ServerConnection

from collector.journal import journal_ids
from collector_process import Collector, collector
from feeds import scripted_server
from stack import Stack, wait_until
from topics import all_journaled, frames_in_order, journaled, read_topic, stored

SYMBOLS = ("KILLED:A", "KILLED:B", "KILLED:C")
FRAME_SECONDS = 0.002
LIMIT_SECONDS = 180
END_SECONDS = 10


def kill_collectors(
    stack: Stack, folder: Path, kills: int, before_check: Callable[[], object] = lambda: None
) -> None:
    """Kill collectors, end the last one in order, and check what became of every journaled frame.

    Every frame is in Kafka at least once, in the order of receipt for each symbol, and every trade is in the
    table exactly once. `before_check` is called while the collector that publishes the rest runs already.
    """
    numbers = count(1)

    def send_forever(connection: ServerConnection) -> None:
        while True:
            symbol = random.choice(SYMBOLS)
            now = time.time_ns() // 1_000_000
            trade = {"c": None, "p": next(numbers), "s": symbol, "t": now, "v": 1}
            connection.send(json.dumps({"data": [trade] * random.randint(1, 3), "type": "trade"}))
            time.sleep(FRAME_SECONDS)

    settings = collector_settings(stack)
    home = folder / "home"
    with scripted_server(send_forever) as port:
        for _ in range(kills):
            with collector(home, port, **settings) as running:
                target = random.randint(1, 2000)
                wait_until(lambda: running.received() > target, f"{target} trades", LIMIT_SECONDS)  # noqa: B023
        with collector(home, port, **settings) as running:
            wait_until(lambda: running.received() > 500, "500 trades", LIMIT_SECONDS)
            end_in_order(running)
    with (
        scripted_server(lambda connection: [None for _ in connection]) as port,
        collector(home, port, **settings) as running,
    ):
        journals = set(journal_ids(home / "journal"))
        before_check()
        check_on_topic(stack, home / "journal", journals)
        end_in_order(running)
    check_in_table(stack, home / "journal", journals)


def collector_settings(stack: Stack) -> dict[str, str]:
    """Return the settings of a collector of SYMBOLS that publishes to a stack's Kafka."""
    return {
        "FINNHUB_STOCKS_TICKERS": ",".join(SYMBOLS),
        "KAFKA_TOPIC_NAME": stack.topic,
        "KAFKA_PORT": stack.settings["KAFKA_PORT"],
        "KAFKA_COLLECTOR_PASSWORD": stack.secrets()["KAFKA_COLLECTOR_PASSWORD"],
        "JOURNAL_ROTATE_MEGABYTES": "1",
    }


def check_in_table(stack: Stack, folder: Path, journals: set[str]) -> None:
    """Wait until every trade of the journals is stored, and expect each once."""
    for journal in journals:
        total = journaled(folder, journal).total()
        wait_until(
            lambda journal=journal, total=total: stored(stack, journal) >= total,  # type: ignore[misc]
            f"the trades of {journal} in Cassandra",
            LIMIT_SECONDS,
        )
        assert stored(stack, journal) == total


def end_in_order(running: Collector) -> None:
    """Expect a collector to end by itself, in time, when it is told to."""
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(END_SECONDS) == 0, running.said()


def check_on_topic(stack: Stack, folder: Path, journals: set[str]) -> None:
    """Wait until every frame of the journals is in Kafka; expect the order of receipt for each symbol."""
    expected = set(all_journaled(folder))

    def missing() -> set[tuple[str, str]]:
        return expected - {
            (dict(message.headers() or []).get("frame", b"").decode(), (message.key() or b"").decode())
            for message in read_topic(stack, stack.topic)
        }

    wait_until(lambda: not missing(), "every journaled frame on the topic", LIMIT_SECONDS)
    in_order = frames_in_order(stack, journals)
    for symbol in SYMBOLS:
        frames = [name.partition(":") for name, key in expected if key == symbol]
        assert in_order[symbol] == sorted((journal, int(line)) for journal, _, line in frames)
