"""Publishing journals again, against librdkafka's mock broker."""

import gzip
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from collector import producer as producer_module
from collector import republish as module
from collector.journal import JournalError
from collector.producer import PublishError
from collector.republish import parse_moment, republish
from collector.settings import CollectorSettings
from common.identity import journal_id
from common.recording import Frame, encode
from mock_kafka import MockKafka
from stack import free_ports

START_MS = 1_768_489_020_000


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> MockKafka:
    mock = MockKafka()
    monkeypatch.setattr(producer_module, "client_config", lambda *_: {"bootstrap.servers": mock.address})
    return mock


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "journal").mkdir()
    return tmp_path


def settings(home: Path, port: int = 9092) -> CollectorSettings:
    return CollectorSettings(
        market_home=home, kafka_port=port, kafka_collector_password=SecretStr("x"), market_feed="none"
    )


def line(received_ms: int) -> bytes:
    trade = {"c": None, "p": 1.5, "s": "A", "t": received_ms, "v": 1}
    return encode(Frame(received_ms, json.dumps({"data": [trade], "type": "trade"})))


def write(home: Path, started_ms: int, received: list[int], pack: bool = False) -> str:
    """Write a journal whose name says when it started; return its id."""
    name = journal_id(started_ms, "live")
    content = b"".join(map(line, received))
    path = home / "journal" / (f"{name}.jsonl.gz" if pack else f"{name}.jsonl")
    path.write_bytes(gzip.compress(content) if pack else content)
    return name


def sent(kafka: MockKafka) -> list[str]:
    return [dict(message.headers())["frame"].decode() for message in kafka.read("market")]


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def test_every_line_goes_again_under_its_old_id(home: Path, kafka: MockKafka) -> None:
    first = write(home, START_MS, [START_MS + at for at in range(2500)], pack=True)
    second = write(home, START_MS + 5000, [START_MS + 5000])
    assert republish(settings(home), None, None, threading.Event()) == 2501
    assert sent(kafka) == [*(f"{first}:{at}" for at in range(1, 2501)), f"{second}:1"]


def test_only_what_was_received_in_the_span_goes(home: Path, kafka: MockKafka) -> None:
    ahead = write(home, START_MS + 10**9, [START_MS + at for at in range(5)])
    start, end = moment(START_MS + 1), moment(START_MS + 4)
    assert republish(settings(home), start, end, threading.Event()) == 3
    assert sent(kafka) == [f"{ahead}:{number}" for number in (2, 3, 4)]
    assert republish(settings(home), None, start, threading.Event()) == 1
    assert republish(settings(home), end, None, threading.Event()) == 1


def test_a_damaged_journal_is_told_after_what_can_be_read_of_all(home: Path, kafka: MockKafka) -> None:
    damaged = write(home, START_MS, [START_MS], pack=True)
    path = home / "journal" / f"{damaged}.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(map(line, range(START_MS, START_MS + 100))))[:-20])
    whole = write(home, START_MS + 1, [START_MS])
    with pytest.raises(JournalError, match=rf"trades were published again, but not all: .*{damaged}") as told:
        republish(settings(home), None, None, threading.Event())
    assert f"{whole}:1" in sent(kafka)
    assert str(told.value).startswith(f"{len(sent(kafka))} trades")


def test_lines_that_cannot_be_read_go_to_the_dead_letters_again(home: Path, kafka: MockKafka) -> None:
    name = write(home, START_MS, [START_MS])
    with (home / "journal" / f"{name}.jsonl").open("ab") as file:
        file.write(b"damaged\n")
    assert republish(settings(home), moment(START_MS), None, threading.Event()) == 1
    [letter] = kafka.read("market.dead-letter")
    assert dict(letter.headers())["frame"].decode() == f"{name}:2"


@pytest.mark.parametrize("after", [0, 5000])
def test_the_command_ends_when_it_is_told_to(
    home: Path, kafka: MockKafka, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home, START_MS, [START_MS] * 5000)
    stopping = threading.Event()
    count = 0
    send: Callable[..., None] = producer_module.FrameProducer.send

    def counted(*arguments: object) -> None:
        nonlocal count
        count += 1
        send(*arguments)
        if count >= after:
            stopping.set()

    monkeypatch.setattr(producer_module.FrameProducer, "send", counted)
    with pytest.raises(PublishError, match="in part only, because the command was ended"):
        republish(settings(home), None, None, stopping)
    assert count == max(after, 1)


def test_a_kafka_that_does_not_answer_is_a_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.1)
    write(home, START_MS, [START_MS])
    [port] = free_ports(1)
    with pytest.raises(PublishError, match=f"Kafka did not answer at 127.0.0.1:{port}"):
        republish(settings(home, port), None, None, threading.Event())


def test_a_missing_journal_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="There was no journal in"):
        republish(settings(tmp_path), None, None, threading.Event())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-15", datetime(2026, 1, 15, tzinfo=UTC)),
        ("2026-01-15T14:57:00Z", datetime(2026, 1, 15, 14, 57, tzinfo=UTC)),
        ("2026-01-15T14:57:00+01:00", datetime(2026, 1, 15, 13, 57, tzinfo=UTC)),
    ],
)
def test_a_moment_without_a_zone_is_utc(text: str, expected: datetime) -> None:
    assert parse_moment(text) == expected


def test_what_is_no_moment_is_a_sentence() -> None:
    with pytest.raises(JournalError, match="yesterday was not a time such as 2026-01-31"):
        parse_moment("yesterday")
