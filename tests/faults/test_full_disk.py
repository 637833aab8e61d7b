"""A disk that is full: the journal waits, loses nothing, and goes on when there is room."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr
from websockets.sync.server import ServerConnection

from collector import producer as producer_module
from collector.encoding import Event
from collector.journal import JournalFolder, JournalLimits, JournalWriter, journal_ids, read_lines
from collector.publisher import Publisher
from collector.settings import CollectorSettings
from collector_process import Collector, collector
from common.recording import Frame, decode
from feeds import scripted_server
from kill_campaign import (
    END_SECONDS,
    SYMBOLS,
    check_in_table,
    check_on_topic,
    collector_settings,
    end_in_order,
)
from mock_kafka import MockKafka
from stack import Stack, wait_until

LIMITS = JournalLimits(
    rotate_bytes=100_000, rotate_seconds=3600, retention_seconds=86_400, retention_bytes=10**9, fsync=False
)
FRAMES = 4_000
LIMIT_SECONDS = 60


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def home(small_disk: Path, tmp_path: Path) -> Path:
    """Return a home whose journal is on the small disk."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "journal").symlink_to(small_disk)
    return home


def grow(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=16m", str(folder)], check=True)


def test_a_full_disk_delays_frames_and_events_and_loses_none(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = MockKafka()
    monkeypatch.setattr(producer_module, "client_config", lambda *_: {"bootstrap.servers": kafka.address})
    folder = JournalFolder(small_disk / "journal", LIMITS)
    publisher = Publisher(
        CollectorSettings(
            kafka_topic_name="market", kafka_collector_password=SecretStr("x"), market_feed="none"
        ),
        folder,
    )
    publisher.start()
    writer = JournalWriter(folder, "live", publisher.wake)
    refused = threading.Event()
    texts = [
        f'{{"data":[{{"c":null,"p":{number}.5,"s":"AAPL","t":1768489020000,"v":1}}],"type":"trade"}}'
        for number in range(FRAMES)
    ]

    def write() -> None:
        for text in texts:
            writer.append(Frame(1_768_489_020_000, text))
            while True:
                try:
                    writer.flush()
                    break
                except OSError:
                    refused.set()
                    threading.Event().wait(0.01)
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    assert refused.wait(LIMIT_SECONDS), "the disk was never full"
    publisher.publish_event(Event(1, "feed-1", "gap", "x" * 5000, None))
    assert thread.is_alive()
    assert publisher.is_alive()
    grow(small_disk)
    thread.join(LIMIT_SECONDS)
    assert not thread.is_alive()
    wait_until(lambda: publisher.trades_published >= FRAMES, "every trade to be published", LIMIT_SECONDS)
    wait_until(lambda: folder.events.acked().lines == 1, "the event to be published", LIMIT_SECONDS)
    publisher.stop()
    journals = journal_ids(small_disk / "journal")
    assert [decode(line).text for name in journals for line in read_lines(folder.path, name)] == texts
    frames = [dict(message.headers())["frame"] for message in kafka.read("market")]
    assert list(dict.fromkeys(frames)) == [
        f"{name}:{line}".encode()
        for name in journals
        for line, _ in enumerate(read_lines(folder.path, name), start=1)
    ]
    folder.close()


def frame(number: int) -> str:
    now = time.time_ns() // 1_000_000
    trade = {"c": None, "p": number + 0.5, "s": SYMBOLS[number % len(SYMBOLS)], "t": now, "v": 1}
    return json.dumps({"data": [trade], "type": "trade"})


def until_full(running: Collector) -> None:
    wait_until(lambda: "No space left" in running.get("/health")[1], "a full disk", LIMIT_SECONDS)


def test_the_process_makes_the_feed_wait_and_ends_when_it_is_told_to(home: Path) -> None:
    sent = 0

    def flood(connection: ServerConnection) -> None:
        nonlocal sent
        while True:
            connection.send(frame(sent) + " " * 100_000)
            sent += 1

    with scripted_server(flood) as port, collector(home, port) as running:
        until_full(running)
        process = psutil.Process(running.process.pid)
        before = sent, process.memory_info().rss

        def is_waiting() -> bool:
            """Return whether nothing more was taken since the last look."""
            nonlocal before
            last, before = before, (sent, process.memory_info().rss)
            return before == last

        wait_until(is_waiting, "a feed that waits", LIMIT_SECONDS, every=1)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(END_SECONDS) == 0
    said = running.said()
    assert said.count("The journal could not be written: No space left on device") == 1
    assert "Traceback" not in said


def test_a_full_disk_loses_doubles_and_reorders_nothing_in_the_stack(
    stack: Stack, home: Path, small_disk: Path
) -> None:
    texts = [frame(number) for number in range(FRAMES)]

    def send(connection: ServerConnection) -> None:
        for text in texts:
            connection.send(text)
        for _ in connection:
            continue

    with scripted_server(send) as port, collector(home, port, **collector_settings(stack)) as running:
        until_full(running)
        grow(small_disk)
        wait_until(lambda: running.received() == FRAMES, "every trade received", LIMIT_SECONDS)
        journals = set(journal_ids(small_disk))
        check_on_topic(stack, small_disk, journals)
        assert "journal could not be written" not in running.get("/health")[1]
        end_in_order(running)
    assert [
        decode(line).text for name in journal_ids(small_disk) for line in read_lines(small_disk, name)
    ] == texts
    check_in_table(stack, small_disk, journals)
