"""A disk that is full: the journal waits, loses nothing, and goes on when there is room."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from collector import producer as producer_module
from collector.encoding import Event
from collector.journal import JournalFolder, JournalLimits, JournalWriter, journal_ids, read_lines
from collector.publisher import Publisher
from collector.settings import CollectorSettings
from common.recording import Frame, decode
from mock_kafka import MockKafka
from stack import wait_until

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
