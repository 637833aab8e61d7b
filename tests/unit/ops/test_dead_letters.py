"""What ./market dead-letters shows."""

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from pydantic import SecretStr

from common import dead_letters as common_module
from common.dead_letters import DeadLetter
from common.identity import journal_id
from mock_kafka import MockKafka
from ops.errors import MarketError
from ops.inspection import dead_letters as module
from ops.inspection.dead_letters import dead_letters, text
from ops.settings import OpsSettings
from stack import free_ports

JOURNAL = journal_id(1_768_489_020_000, "live")
AT_MS = 1_768_489_021_500


def settings(home: Path, **changes: Any) -> OpsSettings:
    return OpsSettings(market_home=home, kafka_ops_password=SecretStr("x"), **changes)


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> MockKafka:
    mock = MockKafka()
    monkeypatch.setattr(module, "kafka_config", lambda *_: {"bootstrap.servers": mock.address})
    return mock


def send(kafka: MockKafka, *letters: tuple[bytes | None, bytes, dict[str, bytes]]) -> None:
    producer = Producer({"bootstrap.servers": kafka.address})
    for key, value, headers in letters:
        producer.produce("market.dead-letter", value, key, 0, headers=list(headers.items()), timestamp=AT_MS)
    assert producer.flush(60) == 0


def letter(line: int, symbol: str = "A", position: int = 0) -> tuple[bytes | None, bytes, dict[str, bytes]]:
    headers = {
        "reason": b"p was missing or not a number",
        "frame": f"{JOURNAL}:{line}".encode(),
        "received_ms": b"1768489020123",
        "trades": b"1",
        "position": b"%d" % position,
    }
    return None, f'{{"p":null,"s":"{symbol}"}}'.encode(), headers


def test_a_letter_tells_what_why_and_where(tmp_path: Path, kafka: MockKafka) -> None:
    (tmp_path / "journal").mkdir()
    path = tmp_path / "journal" / f"{JOURNAL}.jsonl.gz"
    path.touch()
    send(kafka, letter(7, position=3))
    [found] = dead_letters(settings(tmp_path), None, 10)
    assert found == DeadLetter(
        at="2026-01-15T14:57:01.500+00:00",
        symbol="A",
        reason="p was missing or not a number",
        trades=1,
        frame=f"{JOURNAL}:7",
        journal=str(path),
        line=7,
        position=3,
        trade_id=None,
        content='{"p":null,"s":"A"}',
    )
    assert f"{path}:7" in text([found])
    path.rename(path.with_suffix(""))
    assert dead_letters(settings(tmp_path), None, 10)[0].journal == str(path.with_suffix(""))
    path.with_suffix("").unlink()
    assert dead_letters(settings(tmp_path), None, 10)[0].journal is None


def test_letters_of_the_stream_processor_and_garbage_are_shown_too(tmp_path: Path, kafka: MockKafka) -> None:
    (tmp_path / "journal").mkdir()
    send(
        kafka,
        (b"B", b'{"p":0.0,"s":"B"}', {"reason": b"the price was not above 0", "trade_id": b"x:1:00002"}),
        (None, b"\xff\x00", {"trades": b"many", "frame": b"nonsense", "position": b"-1"}),
        (None, b"[1]", {}),
    )
    third, second, first = dead_letters(settings(tmp_path), None, 10)
    assert (first.symbol, first.trade_id, first.frame) == ("B", "x:1:00002", None)
    assert (second.symbol, second.reason, second.trades) == (None, "no reason was given", 1)
    assert (second.frame, second.journal, second.line, second.position) == ("nonsense", None, None, None)
    assert second.content == "\\xff\x00"
    assert (third.symbol, third.content) == (None, "[1]")


def test_the_newest_come_first_each_once_and_no_more_than_asked_for(
    tmp_path: Path, kafka: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common_module, "CHUNK_MESSAGES", 4)
    send(kafka, *(letter(line, "A" if line % 2 else "B") for line in range(1, 11)), letter(3, "A"))
    lines = [one.line for one in dead_letters(settings(tmp_path), None, 100)]
    assert lines == [3, 10, 9, 8, 7, 6, 5, 4, 2, 1]
    assert [one.line for one in dead_letters(settings(tmp_path), "B", 3)] == [10, 8, 6]
    assert [one.line for one in dead_letters(settings(tmp_path), None, 2)] == [3, 10]
    assert dead_letters(settings(tmp_path), "C", 3) == []


def test_without_letters_a_sentence_says_so(tmp_path: Path, kafka: MockKafka) -> None:
    assert dead_letters(settings(tmp_path), None, 10) == []
    assert text([]) == "There were no dead letters."


def test_a_kafka_that_does_not_answer_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.1)
    [port] = free_ports(1)
    with pytest.raises(MarketError, match=rf"Kafka did not answer at 127.0.0.1:{port} .* \./market up"):
        dead_letters(settings(tmp_path, kafka_port=port), None, 10)


def test_before_the_first_start_a_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(MarketError, match=rf"No stack was ever started in {tmp_path}: .* \./market up"):
        dead_letters(OpsSettings(market_home=tmp_path), None, 10)


def test_a_search_has_an_end(tmp_path: Path, kafka: MockKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEARCH_SECONDS", -1.0)
    send(kafka, letter(1))
    with pytest.raises(MarketError, match="could not be searched within"):
        dead_letters(settings(tmp_path), None, 10)
