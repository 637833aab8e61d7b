"""The publisher against librdkafka's mock broker, and without any: what is sent, marked, and sent again."""

import io
import json
import resource
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fastavro
import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from collector import producer as producer_module
from collector import publisher as publisher_module
from collector.encoding import Event
from collector.journal import Journal, JournalFolder, JournalLimits, JournalWriter
from collector.line_file import START, LineFile, Position
from collector.message import Message
from collector.producer import Batch, FrameProducer, InterruptedPublishError, PublishError, check_delivered
from collector.publisher import FileBatch, FileReader, Publisher
from collector.settings import CollectorSettings
from common.frames import read_frame
from common.identity import journal_id
from common.recording import Frame, encode, frame_text
from common.schemas import events_schema, trades_schema
from mock_kafka import MockKafka
from stack import free_ports, wait_until

LIMITS = JournalLimits(
    rotate_bytes=10_000, rotate_seconds=3600, retention_seconds=86_400, retention_bytes=10**9, fsync=False
)
LIMIT_SECONDS = 240  # a busy machine runs these tests many times slower
FAR = 10.0**9  # seconds, longer than any clock has run
ROUNDS = 20
RECEIVED_MS = 1_768_489_020_123
TRADE = '{"data":[{"c":null,"p":1.5,"s":"AAPL","t":1,"v":1}],"type":"trade"}'
EVENT = Event(1, "feed-1", "gap", "nothing was received", 1.5)


def settings(**changes: Any) -> CollectorSettings:
    return CollectorSettings(kafka_collector_password=SecretStr("x"), market_feed="none", **changes)


def trade(symbol: str, number: int) -> str:
    made = {"c": None, "p": number + 0.5, "s": symbol, "t": RECEIVED_MS, "v": 1}
    return json.dumps({"data": [made], "type": "trade"})


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, and give a busy host the time to end in order."""
    for name in ("IDLE_SECONDS", "SAVE_SECONDS"):
        monkeypatch.setattr(publisher_module, name, 0.01)
    for name in ("DRAIN_SECONDS", "FLUSH_SECONDS", "JOIN_SECONDS"):
        monkeypatch.setattr(publisher_module, name, LIMIT_SECONDS)


@pytest.fixture
def no_kafka(monkeypatch: pytest.MonkeyPatch) -> int:
    """Return a port where nothing answers; shorten what waits for it in vain."""
    for name in ("PROBE_SECONDS", "DRAIN_SECONDS", "FLUSH_SECONDS"):
        monkeypatch.setattr(publisher_module, name, 0.05)
    monkeypatch.setattr(publisher_module, "STALLED_SECONDS", FAR)
    return free_ports(1)[0]


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> MockKafka:
    mock = MockKafka()
    monkeypatch.setattr(producer_module, "client_config", lambda *_: {"bootstrap.servers": mock.address})
    return mock


@contextmanager
def publishing(folder: JournalFolder, **changes: Any) -> Iterator[Publisher]:
    publisher = Publisher(settings(**changes), folder)
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.stop()


class Rounds:
    """Counts the rounds that a publisher has ended with nothing to do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        rest = Publisher._rest

        def counting(publisher: Publisher) -> None:
            self.count += 1
            rest(publisher)

        monkeypatch.setattr(Publisher, "_rest", counting)

    def wait(self) -> None:
        """Wait for some more rounds."""
        enough = self.count + ROUNDS
        until(lambda: self.count >= enough, "rounds of the publisher")


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Rounds:
    return Rounds(monkeypatch)


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list that gets the time limit of each probe."""
    made: list[float] = []
    probe = FrameProducer.probe

    def noting(producer: FrameProducer, seconds: float) -> bool:
        made.append(seconds)
        return probe(producer, seconds)

    monkeypatch.setattr(FrameProducer, "probe", noting)
    return made


def write(folder: JournalFolder, *texts: str, source: str = "live") -> None:
    """Write frames, one flush each, and finish the journal."""
    writer = JournalWriter(folder, source, lambda: None)  # type: ignore[arg-type]
    for text in texts:
        writer.append(Frame(RECEIVED_MS, text))
        writer.flush()
    writer.close()


def pending(folder: JournalFolder) -> list[Journal]:
    return [journal for journals in folder.pending().values() for journal in journals]


def until(condition: Callable[[], object], what: str) -> None:
    wait_until(condition, what, LIMIT_SECONDS, every=0.005)


def until_published(folder: JournalFolder) -> None:
    until(lambda: not pending(folder), "all journals to be published")


def frames_by_symbol(kafka: MockKafka, topic: str = "market") -> dict[str, list[str]]:
    """Return the frame header of every message by its key, in the order of arrival."""
    found: dict[str, list[str]] = defaultdict(list)
    for message in kafka.read(topic):
        found[message.key().decode()].append(dict(message.headers())["frame"].decode())
    return found


def test_frames_reach_kafka_whole_in_order_and_once(tmp_path: Path, kafka: MockKafka) -> None:
    folder = JournalFolder(tmp_path, LIMITS)
    with publishing(folder) as publisher:
        writer = JournalWriter(folder, "live", publisher.wake)
        journals: list[str] = []
        for number in range(300):
            writer.append(Frame(RECEIVED_MS + number, trade("AAPL" if number % 3 else "BTC", number)))
            writer.flush()
            journals = journals or [journal.id for journal in pending(folder)]
        writer.append(Frame(RECEIVED_MS, "nonsense"))
        writer.close()
        until_published(folder)
        assert (publisher.trades_published, publisher.dead_lettered) == (300, 1)
        assert publisher.problem is None
        assert (publisher.lag_bytes(), publisher.lag_seconds()) == (0, 0.0)
    messages = kafka.read("market")
    assert len(messages) == 300
    by_symbol: dict[bytes, list[float]] = defaultdict(list)
    for message in messages:
        decoded: Any = fastavro.schemaless_reader(io.BytesIO(message.value()), trades_schema().parsed, None)
        [one] = decoded["data"]
        by_symbol[message.key()].append(one["p"])
        headers = dict(message.headers())
        assert list(headers) == ["frame", "received_ms", "schema"]
        assert headers["received_ms"] == b"%d" % (RECEIVED_MS + one["p"] - 0.5)
        assert headers["schema"] == b"11e5bddbbac67e60"
        if one["p"] < 10:
            assert headers["frame"].decode() == f"{journals[0]}:{int(one['p']) + 1}"
    assert by_symbol[b"AAPL"] == [number + 0.5 for number in range(300) if number % 3]
    assert by_symbol[b"BTC"] == [number + 0.5 for number in range(0, 300, 3)]
    [letter] = kafka.read("market.dead-letter")
    assert (letter.key(), letter.value()) == (None, b"nonsense")
    assert dict(letter.headers())["reason"] == b"the frame was not JSON"
    folder._compressor.submit(lambda: None).result(LIMIT_SECONDS)
    assert {path.suffix for path in tmp_path.glob("2*")} == {".gz"}


raw_frames = (
    st.binary(max_size=200)
    | st.sampled_from(
        [
            TRADE.encode(),
            b'{"type":"ping"}',
            TRADE.replace("1.5", "NaN").encode(),
            TRADE.replace("AAPL", "\\ud800").encode(),
            TRADE.replace("AAPL", "A" * 70_000).encode(),
            TRADE.replace('"t":1,', '"t":99999999999999999999999999,').encode(),
            b'{"type":"trade","data":[' + b"[" * 1000 + b"]" * 1000 + b"]}",
            b'{"type":"trade","data":[' + b"[" * 50_000 + b"]" * 50_000 + b"]}",
            b'{"type":"error","msg":' + b"[" * 500 + b"]" * 500 + b"}",
        ]
    )
    | st.lists(st.sampled_from(list(b'{}[]",:\\x\xff0')), max_size=30).map(bytes)
)


def test_whatever_bytes_come_nothing_ends_the_publisher(tmp_path: Path, kafka: MockKafka) -> None:
    folder = JournalFolder(tmp_path, LIMITS._replace(rotate_bytes=10**9))
    expected = 0
    with publishing(folder) as publisher:
        writer = JournalWriter(folder, "live", publisher.wake)

        @given(st.lists(raw_frames, max_size=5), st.binary(max_size=50))
        def check(frames: list[bytes], damage: bytes) -> None:
            nonlocal expected
            for frame in frames:
                text = frame_text(frame)
                expected += read_frame(text).trade_count
                writer.append(Frame(RECEIVED_MS, text))
            writer._lines.append(damage.replace(b"\n", b"") + b"\n")
            expected += 1
            writer.append(Frame(RECEIVED_MS, TRADE))
            expected += 1
            writer.flush()
            assert publisher.is_alive()

        check()
        writer.close()
        until_published(folder)
        assert publisher.is_alive()
        assert publisher.trades_published + publisher.dead_lettered == expected


def test_a_message_too_large_for_kafka_is_a_dead_letter_and_the_next_goes_on(
    tmp_path: Path, kafka: MockKafka
) -> None:
    folder = JournalFolder(tmp_path, LIMITS)
    write(folder, TRADE.replace("null", f'["{"x" * (9 * 2**20)}"]'), TRADE)
    with publishing(folder) as publisher:
        until_published(folder)
        assert (publisher.trades_published, publisher.dead_lettered) == (1, 1)
    [letter] = kafka.read("market.dead-letter")
    headers = dict(letter.headers())
    assert headers["reason"].endswith(b"Message size too large; the journal holds the frame")
    assert headers["frame"].endswith(b":1")
    assert (letter.key(), len(letter.value()), headers["trades"]) == (b"AAPL", 2**20, b"1")
    assert len(kafka.read("market")) == 1


def test_a_message_that_cannot_be_sent_is_a_dead_letter_and_the_next_goes_on(
    tmp_path: Path, kafka: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    produce = FrameProducer._produce

    def fails(self: FrameProducer, topic: str, message: Message, *rest: Any) -> None:
        if message.key == b"BAD" and not message.dead:
            raise OverflowError("too much")
        produce(self, topic, message, *rest)

    monkeypatch.setattr(FrameProducer, "_produce", fails)
    folder = JournalFolder(tmp_path, LIMITS)
    write(folder, trade("BAD", 1), trade("GOOD", 2))
    with publishing(folder) as publisher:
        until_published(folder)
        assert (publisher.trades_published, publisher.dead_lettered) == (1, 1)
    [letter] = kafka.read("market.dead-letter")
    reason = dict(letter.headers())["reason"]
    assert reason == b"the message could not be sent (OverflowError); the journal holds the frame"
    assert list(frames_by_symbol(kafka)) == ["GOOD"]


def test_of_each_source_the_oldest_journal_comes_first(tmp_path: Path, kafka: MockKafka) -> None:
    folder = JournalFolder(tmp_path, LIMITS._replace(rotate_bytes=10**6))
    order: list[str] = []
    for number in range(6):
        write(folder, *[trade("AAPL", number)] * 3000)
        order += [f"{pending(folder)[-1].id}:{line}" for line in range(1, 3001)]
    folder.close()
    again = JournalFolder(tmp_path, LIMITS)
    with publishing(again):
        until_published(again)
    assert frames_by_symbol(kafka)["AAPL"] == order


def test_a_replay_that_goes_on_holds_up_no_other(tmp_path: Path, kafka: MockKafka) -> None:
    folder = JournalFolder(tmp_path, LIMITS)
    with publishing(folder) as publisher:
        first, second = (JournalWriter(folder, "replay", publisher.wake) for _ in range(2))
        for number, writer in enumerate([first, second, first, second]):
            writer.append(Frame(RECEIVED_MS, trade(f"S{number}", number)))
            writer.flush()
            until(
                lambda count=number + 1: publisher.trades_published == count,  # type: ignore[misc]
                "the trade to be published",
            )
        second.close()
        until(lambda: len(pending(folder)) == 1, "the second to be finished")
        first.close()
        until_published(folder)


def test_many_waiting_journals_need_few_descriptors(tmp_path: Path, kafka: MockKafka) -> None:
    for number in range(300):
        (tmp_path / f"{journal_id(number, 'live')}.jsonl").write_bytes(encode(Frame(1, TRADE)))
    folder = JournalFolder(tmp_path, LIMITS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        with publishing(folder) as publisher:
            until_published(folder)
            assert publisher.trades_published == 300
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_kafka_does_not_take_now_is_sent_again_from_the_mark(
    tmp_path: Path, kafka: MockKafka, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(publisher_module, "RETRY_SECONDS", 0.01)
    folder = JournalFolder(tmp_path, LIMITS._replace(rotate_bytes=10**6))
    write(folder, *(trade("AAPL", number) for number in range(5000)))
    [journal] = pending(folder)
    send = FrameProducer.send
    failures = [4900, 3000, 10]

    def fails_at_times(self: FrameProducer, name: str, number: int, line: bytes, batch: Batch) -> None:
        if failures and number == failures[-1]:
            failures.pop()
            raise PublishError("A topic is missing.")
        send(self, name, number, line, batch)

    monkeypatch.setattr(FrameProducer, "send", fails_at_times)
    with publishing(folder) as publisher:
        until_published(folder)
        assert publisher.problem is None
        assert publisher.trades_published == 5000
    assert failures == []
    assert caplog.text.count("A topic is missing. Publishing again from the last acknowledged frame.") >= 1
    frames = frames_by_symbol(kafka)["AAPL"]
    assert list(dict.fromkeys(frames)) == [f"{journal.id}:{number}" for number in range(1, 5001)]


def test_an_unexpected_error_is_a_problem_and_then_over(
    tmp_path: Path, kafka: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "RETRY_SECONDS", 0.01)
    folder = JournalFolder(tmp_path, LIMITS)
    write(folder, TRADE)
    lines_from = LineFile.lines_from
    broken = threading.Event()
    broken.set()

    def fails(self: LineFile, start: int, max_bytes: int) -> list[bytes]:
        if broken.is_set() and isinstance(self, Journal):
            raise OSError(5, "Input/output error")
        return lines_from(self, start, max_bytes)

    monkeypatch.setattr(LineFile, "lines_from", fails)
    with publishing(folder) as publisher:
        until(lambda: "OSError" in str(publisher.problem), "a problem")
        assert publisher.is_alive()
        broken.clear()
        until_published(folder)
        assert publisher.problem is None


def test_a_journal_that_was_removed_is_logged_and_left(
    tmp_path: Path, kafka: MockKafka, caplog: pytest.LogCaptureFixture
) -> None:
    folder = JournalFolder(tmp_path, LIMITS)
    write(folder, TRADE)
    write(folder, TRADE)
    first = pending(folder)[0]
    first.path.unlink()
    with publishing(folder) as publisher:
        until_published(folder)
        assert publisher.trades_published == 1
    assert f"The journal {first.id} was removed before all of it was published." in caplog.text


def test_a_torn_end_of_a_finished_journal_holds_nothing_up(tmp_path: Path, kafka: MockKafka) -> None:
    folder = JournalFolder(tmp_path, LIMITS)
    write(folder, TRADE)
    with pending(folder)[0].path.open("ab") as file:
        file.write(b'{"received_ms":1,"fra')
    with publishing(folder) as publisher:
        until_published(folder)
        assert (publisher.trades_published, publisher.dead_lettered) == (1, 0)


def test_publishing_goes_on_behind_the_mark_of_the_last_process(tmp_path: Path, kafka: MockKafka) -> None:
    folder = JournalFolder(tmp_path, LIMITS)
    write(folder, *(trade("AAPL", number) for number in range(5)))
    [journal] = pending(folder)
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.save_acked(Position(2, sum(map(len, lines[:2]))))
    with publishing(folder):
        until_published(folder)
    assert frames_by_symbol(kafka)["AAPL"] == [f"{journal.id}:{number}" for number in (3, 4, 5)]


def test_marks_are_written_while_a_journal_is_open(tmp_path: Path, kafka: MockKafka) -> None:
    folder = JournalFolder(tmp_path, LIMITS)
    with publishing(folder) as publisher:
        writer = JournalWriter(folder, "live", publisher.wake)
        writer.append(Frame(RECEIVED_MS, TRADE))
        writer.flush()
        [journal] = pending(folder)
        size = journal.size()
        until(lambda: journal.acked() == Position(1, size), "the mark")
        writer.append(Frame(RECEIVED_MS, TRADE))
        writer.flush()
    assert journal.acked() == Position(2, 2 * size)


def test_events_are_published_once_and_after_a_restart(tmp_path: Path, kafka: MockKafka) -> None:
    folder = JournalFolder(tmp_path, LIMITS)
    folder.events.append(EVENT)
    with folder.events.path.open("ab") as file:
        file.write(b'damaged\n[1,"s","no such kind","",null]\n')
    second = EVENT._replace(at=2, gap_seconds=None)
    with publishing(folder) as publisher:
        publisher.publish_event(second)
        until(lambda: folder.events.acked().lines == 4, "the events")
    with publishing(folder) as publisher:
        publisher.publish_event(EVENT._replace(at=3))
        until(lambda: folder.events.acked().lines == 5, "the events")
    messages = kafka.read("market.events")
    decoded: list[Any] = [
        fastavro.schemaless_reader(io.BytesIO(message.value()), events_schema().parsed, None)
        for message in messages
    ]
    assert sorted(event["at"] for event in decoded) == [1, 2, 3]
    assert next(event for event in decoded if event["at"] == 1) == EVENT._asdict()
    assert {dict(message.headers())["schema"].decode() for message in messages} == {
        events_schema().fingerprint
    }


def test_events_that_kafka_does_not_take_hold_up_no_trade(
    tmp_path: Path, kafka: MockKafka, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(publisher_module, "RETRY_SECONDS", 0.01)
    send_event = FrameProducer.send_event
    broken = threading.Event()
    broken.set()

    def fails(self: FrameProducer, line: bytes, batch: Batch) -> None:
        if broken.is_set():
            raise PublishError("A topic is missing.")
        send_event(self, line, batch)

    monkeypatch.setattr(FrameProducer, "send_event", fails)
    folder = JournalFolder(tmp_path, LIMITS)
    with publishing(folder) as publisher:
        publisher.publish_event(EVENT)
        write(folder, TRADE)
        until_published(folder)
        assert folder.events.acked() == START
        broken.clear()
        until(lambda: folder.events.acked().lines == 1, "the event")
    assert len(kafka.read("market.events")) == 1
    assert caplog.text.count("Feed events could not be published") == 1


def test_a_kafka_that_does_not_answer_costs_nothing_but_disk(tmp_path: Path, no_kafka: int) -> None:
    folder = JournalFolder(tmp_path, LIMITS)
    with publishing(folder, kafka_port=no_kafka) as publisher:
        writer = JournalWriter(folder, "live", publisher.wake)
        for number in range(1000):
            writer.append(Frame(number, TRADE))
            writer.flush()
        publisher.publish_event(EVENT)
        until(lambda: "Kafka did not answer" in str(publisher.problem), "a problem")
        assert publisher.is_alive()
        writer.close()
        size = sum(journal.size() for journal in pending(folder))
        assert publisher.lag_bytes() == size
        assert publisher.lag_seconds() > 1_700_000_000
    assert publisher.trades_published == 0
    assert not publisher.is_alive()
    assert publisher.problem == "The publisher has ended."
    journals = pending(folder)
    assert len(journals) > 5
    assert all(journal.closed and journal.acked() == START for journal in journals)
    assert folder.events.acked() == START
    folder.close()
    again = JournalFolder(tmp_path, LIMITS)
    assert [journal.id for journal in pending(again)] == [journal.id for journal in journals]
    assert again.events.lines_from(0, 1000) != []


def test_the_end_of_the_process_does_not_wait_for_a_backlog(tmp_path: Path, no_kafka: int) -> None:
    for number in range(3):
        path = tmp_path / f"{journal_id(number, 'live')}.jsonl"
        path.write_bytes(encode(Frame(1, TRADE)) * 200_000)
    folder = JournalFolder(tmp_path, LIMITS)
    publisher = Publisher(settings(kafka_port=no_kafka), folder)
    publisher.start()
    until(lambda: len(publisher._producer._producer) > 1000, "a queue")
    publisher.stop()
    assert not publisher.is_alive()
    assert [journal.acked() for journal in pending(folder)] == [START] * 3


def error(code: int) -> Any:
    return KafkaError(code)


def test_a_batch_counts_what_kafka_has_taken() -> None:
    batch = Batch(outstanding=5)
    good, dead = Message(b"A", b"", [], 3), Message(None, b"", [], 2, dead=True)
    batch.delivered(good, None, None)
    batch.delivered(dead, None, None)
    batch.delivered(None, None, None)
    assert (batch.outstanding, batch.trades, batch.dead_lettered) == (2, 3, 2)
    batch.delivered(good, error(KafkaError.MSG_SIZE_TOO_LARGE), None)
    assert batch.refused == [(good, "Broker: Message size too large")]
    check_delivered(batch)
    batch.delivered(dead, error(KafkaError.MSG_SIZE_TOO_LARGE), None)
    assert (batch.outstanding, batch.trades, batch.dead_lettered) == (0, 3, 2)
    with pytest.raises(PublishError, match="Kafka did not take a message: Broker: Message size too large"):
        check_delivered(batch)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "A topic is missing in Kafka; a restart of Kafka creates it."),
        (KafkaError._UNKNOWN_TOPIC, "A topic is missing in Kafka; a restart of Kafka creates it."),
        (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            "Kafka did not take a message: Broker: Topic authorization failed.",
        ),
    ],
)
@pytest.mark.parametrize("message", [None, Message(b"A", b"", [], 1)])
def test_what_kafka_may_take_later_is_no_dead_letter(
    code: int, sentence: str, message: Message | None
) -> None:
    batch = Batch(outstanding=1)
    batch.delivered(message, error(code), None)
    assert batch.refused == []
    with pytest.raises(PublishError) as raised:
        check_delivered(batch)
    assert str(raised.value) == sentence


class Refusals:
    """Takes the dead letters that a reader sends."""

    def __init__(self) -> None:
        self.sent: list[tuple[Message, str]] = []

    def send_refused(self, batch: Batch) -> None:
        self.sent += batch.refused
        batch.refused = []
        batch.outstanding += 1


def reader(tmp_path: Path, lines: int) -> FileReader:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"line\n" * lines)
    return FileReader(LineFile(path), START, START, START)


def test_a_mark_moves_over_batches_in_their_order(tmp_path: Path) -> None:
    follower = reader(tmp_path, 0)
    first, second = (FileBatch(outstanding=1, end=Position(number, number)) for number in (1, 2))
    follower.batches.extend([first, second])
    producer: Any = Refusals()
    second.outstanding = 0
    assert follower.settle(producer) == []
    assert follower.acked == START
    first.outstanding = 0
    assert follower.settle(producer) == [first, second]
    assert follower.acked == Position(2, 2)


def test_a_mark_waits_for_the_dead_letter_of_what_kafka_refused(tmp_path: Path) -> None:
    follower = reader(tmp_path, 0)
    message = Message(b"A", b"", [], 1)
    batch = FileBatch(end=Position(1, 1), refused=[(message, "too large")])
    follower.batches.append(batch)
    producer: Any = Refusals()
    assert follower.settle(producer) == []
    assert producer.sent == [(message, "too large")]
    assert follower.settle(producer) == []
    assert follower.acked == START
    batch.outstanding = 0
    assert follower.settle(producer) == [batch]
    assert follower.acked == Position(1, 1)


def test_a_mark_does_not_move_over_what_kafka_did_not_take(tmp_path: Path) -> None:
    follower = reader(tmp_path, 0)
    batch = FileBatch(end=Position(1, 1), error=error(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    follower.batches.append(batch)
    producer: Any = Refusals()
    with pytest.raises(PublishError):
        follower.settle(producer)
    assert follower.acked == START


def test_a_reader_sends_numbered_lines_and_goes_back_to_its_mark(tmp_path: Path) -> None:
    follower = reader(tmp_path, 3)
    sent: list[tuple[int, bytes]] = []

    def send(number: int, line: bytes, batch: Batch) -> None:
        sent.append((number, line))
        batch.outstanding += 1

    assert follower.send_next(send)
    assert sent == [(1, b"line\n"), (2, b"line\n"), (3, b"line\n")]
    assert follower.read == follower.batches[0].end == Position(3, 15)
    assert not follower.send_next(send)
    assert len(follower.batches) == 1
    follower.rewind()
    assert (follower.read, list(follower.batches)) == (START, [])
    follower.acked = Position(2, 10)
    follower.rewind()
    assert follower.send_next(send)
    assert sent[3:] == [(3, b"line\n")]
    follower.acked = Position(3, 15)
    follower.save()
    assert (follower.file.acked(), follower.saved) == (Position(3, 15), Position(3, 15))


def test_a_line_that_is_sent_in_part_is_read_again(tmp_path: Path) -> None:
    follower = reader(tmp_path, 3)

    def fails(number: int, line: bytes, batch: Batch) -> None:
        if number == 2:
            raise PublishError("no")

    with pytest.raises(PublishError):
        follower.send_next(fails)
    assert follower.read == follower.batches[0].end == Position(1, 5)


def test_the_lag_is_what_is_not_acknowledged_and_since_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = JournalFolder(tmp_path, LIMITS)
    clock = SimpleNamespace(monotonic=time.monotonic, time=lambda: RECEIVED_MS / 1000 + 90)
    monkeypatch.setattr(publisher_module, "time", clock)
    for source, offset in (("live", 40_000), ("demo", 60_000), ("replay", 0)):
        writer = JournalWriter(folder, source, lambda: None)  # type: ignore[arg-type]
        writer.append(Frame(RECEIVED_MS + offset, TRADE))
        writer.append(Frame(RECEIVED_MS + offset + 7_000, TRADE))
        writer.close()
    live, demo, replay = pending(folder)
    publisher = Publisher(settings(), folder)
    assert publisher.lag_bytes() == live.size() + demo.size() + replay.size()
    assert publisher.lag_seconds() == pytest.approx(90.0)
    live.path.unlink()
    replay.save_acked(Position(2, replay.size()))
    assert publisher.lag_bytes() == demo.size()
    assert publisher.lag_seconds() == pytest.approx(30.0)
    demo.save_acked(Position(1, len(encode(Frame(RECEIVED_MS + 60_000, TRADE)))))
    assert publisher.lag_bytes() == len(encode(Frame(RECEIVED_MS + 67_000, TRADE)))
    assert publisher.lag_seconds() == pytest.approx(23.0)
    clock.time = lambda: RECEIVED_MS / 1000
    assert publisher.lag_seconds() == 0.0
    demo.save_acked(Position(2, demo.size()))
    assert (publisher.lag_bytes(), publisher.lag_seconds()) == (0, 0.0)


def test_a_backlog_is_published_to_its_end_when_the_process_ends(
    tmp_path: Path, kafka: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "CHUNK_BYTES", 1)  # a line a round
    folder = JournalFolder(tmp_path, LIMITS)
    write(folder, *(trade("AAPL", number) for number in range(100)))
    publisher = Publisher(settings(), folder)
    publisher._stopping.set()
    publisher.start()
    publisher.stop()
    assert publisher.trades_published == 100
    assert len(kafka.read("market")) == 100


def test_an_absent_kafka_is_asked_now_and_then(
    tmp_path: Path, no_kafka: int, monkeypatch: pytest.MonkeyPatch, rounds: Rounds, probes: list[float]
) -> None:
    # Longer than the clock has run, shorter than twice that.
    monkeypatch.setattr(publisher_module, "PROBE_EVERY_SECONDS", 1.5 * time.monotonic())
    folder = JournalFolder(tmp_path, LIMITS)
    with publishing(folder, kafka_port=no_kafka) as publisher:
        rounds.wait()
        assert probes == [publisher_module.PROBE_SECONDS]
        monkeypatch.setattr(publisher_module, "PROBE_EVERY_SECONDS", 0.0)
        until(lambda: len(probes) > 3, "more probes")
        assert publisher.is_alive()


def test_a_kafka_that_answers_is_not_asked_again(
    tmp_path: Path,
    kafka: MockKafka,
    monkeypatch: pytest.MonkeyPatch,
    rounds: Rounds,
    probes: list[float],
) -> None:
    monkeypatch.setattr(publisher_module, "PROBE_EVERY_SECONDS", 0.0)
    with publishing(JournalFolder(tmp_path, LIMITS)):
        rounds.wait()
    assert len(probes) == 1


def test_marks_are_written_once_in_a_while_and_at_the_end(
    tmp_path: Path, kafka: MockKafka, monkeypatch: pytest.MonkeyPatch, rounds: Rounds
) -> None:
    monkeypatch.setattr(publisher_module, "SAVE_SECONDS", 1.5 * time.monotonic())
    folder = JournalFolder(tmp_path, LIMITS)
    with publishing(folder) as publisher:
        writer = JournalWriter(folder, "live", publisher.wake)
        writer.append(Frame(RECEIVED_MS, TRADE))
        writer.flush()
        [journal] = pending(folder)
        until(lambda: publisher.trades_published == 1, "the trade")
        rounds.wait()
        assert journal.acked() == START
    assert journal.acked() == Position(1, journal.size())
    writer.close()


def test_nothing_to_publish_is_no_stall_however_long(
    tmp_path: Path, kafka: MockKafka, monkeypatch: pytest.MonkeyPatch, rounds: Rounds
) -> None:
    clock = SimpleNamespace(monotonic=time.monotonic, time=time.time)
    monkeypatch.setattr(publisher_module, "time", clock)
    monkeypatch.setattr(publisher_module, "STALLED_SECONDS", 10_000.0)
    with publishing(JournalFolder(tmp_path, LIMITS)) as publisher:
        rounds.wait()
        clock.monotonic = lambda: time.monotonic() + 50_000
        rounds.wait()
        assert publisher.problem is None


def test_what_stays_unacknowledged_for_long_is_a_stall(
    tmp_path: Path, kafka: MockKafka, monkeypatch: pytest.MonkeyPatch, rounds: Rounds
) -> None:
    clock = SimpleNamespace(monotonic=time.monotonic, time=time.time)
    monkeypatch.setattr(publisher_module, "time", clock)
    monkeypatch.setattr(publisher_module, "STALLED_SECONDS", 10_000.0)
    monkeypatch.setattr(FrameProducer, "_produce", lambda *arguments: _hold(arguments[3]))
    folder = JournalFolder(tmp_path, LIMITS)
    write(folder, TRADE)
    with publishing(folder) as publisher:
        rounds.wait()
        assert publisher.problem is None
        clock.monotonic = lambda: time.monotonic() + 50_000
        rounds.wait()
        assert "Kafka did not answer" in str(publisher.problem)


def _hold(batch: Batch) -> None:
    batch.outstanding += 1


def test_a_mark_that_cannot_be_written_is_logged_once_and_a_problem_until_it_can(
    tmp_path: Path,
    kafka: MockKafka,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    rounds: Rounds,
) -> None:
    full = threading.Event()
    full.set()
    save = FileReader.save

    def fails(reader: FileReader) -> None:
        if full.is_set():
            raise OSError(28, "No space left on device")
        save(reader)

    monkeypatch.setattr(FileReader, "save", fails)
    monkeypatch.setattr(publisher_module, "SAVE_SECONDS", -1.0)
    with publishing(JournalFolder(tmp_path, LIMITS)) as publisher:
        rounds.wait()
        sentence = "How far the journals are published could not be written: No space left on device."
        assert publisher.problem == sentence
        full.clear()
        until(lambda: publisher.problem is None, "the mark")
    assert caplog.text.count(sentence) == 1


def test_the_same_failure_again_is_logged_once_with_a_new_client_each_time(
    tmp_path: Path,
    kafka: MockKafka,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(publisher_module, "RETRY_SECONDS", 0.01)
    folder = JournalFolder(tmp_path, LIMITS)
    write(folder, TRADE)
    clients: list[FrameProducer] = []

    def fails(self: FrameProducer, *_: Any) -> None:
        if self not in clients:
            clients.append(self)
        raise PublishError("A topic is missing.")

    monkeypatch.setattr(FrameProducer, "send", fails)
    with publishing(folder) as publisher:
        until(lambda: len(clients) > 2, "three clients")
        assert publisher.problem == "A topic is missing."
    assert caplog.text.count("A topic is missing. Publishing again") == 1


def test_an_event_that_kafka_does_not_take_is_tried_again_only_after_a_while(
    tmp_path: Path, kafka: MockKafka, monkeypatch: pytest.MonkeyPatch, rounds: Rounds
) -> None:
    monkeypatch.setattr(publisher_module, "RETRY_SECONDS", FAR)
    monkeypatch.setattr(publisher_module, "DRAIN_SECONDS", FAR)
    tries: list[bytes] = []

    def fails(self: FrameProducer, line: bytes, batch: Batch) -> None:
        tries.append(line)
        raise PublishError("A topic is missing.")

    monkeypatch.setattr(FrameProducer, "send_event", fails)
    folder = JournalFolder(tmp_path, LIMITS)
    with publishing(folder) as publisher:
        publisher.publish_event(EVENT)
        until(lambda: tries, "a try")
        rounds.wait()
        write(folder, TRADE)
        until_published(folder)
    assert not publisher.is_alive()
    assert len(tries) == 1


@pytest.mark.parametrize("error", [PublishError("A topic is missing."), InterruptedPublishError()])
def test_what_fails_at_the_end_leaves_the_rest_to_the_next_start(
    tmp_path: Path,
    kafka: MockKafka,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    rounds: Rounds,
    error: Exception,
) -> None:
    folder = JournalFolder(tmp_path, LIMITS)
    with publishing(folder) as publisher:
        rounds.wait()

        def fails(*_: Any) -> None:
            raise error

        def flush(_: float) -> None:
            monkeypatch.setattr(publisher, "_settle", fails)

        monkeypatch.setattr(publisher._producer, "flush", flush)
    assert f"{error} The next start publishes the rest." in caplog.text
    assert not publisher.is_alive()
