"""The replay client: what it counts, shifts, paces and says; played through the real feed and receiver."""

import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from websockets.sync.server import ServerConnection

import oracle
from collector.clock import Clock
from collector.journal import JournalFolder, JournalLimits, read_lines
from collector.last_seen import LastSeen
from collector.receiver import Endpoint, Receiver
from collector_process import collector_that_says
from common.recording import Frame, decode, encode, read_recording
from feeds import LIMIT_SECONDS, running_feed, scripted_server
from ops.data.replay import (
    Survey,
    chunks,
    limit_sending,
    replay,
    shift_to_now,
    shifted,
    survey_frames,
)
from ops.errors import MarketError
from ops.settings import OpsSettings
from stack import ROOT, wait_until

DEMO = ROOT / "tests" / "data" / "demo.jsonl.gz"
NOW = 1_800_000_000_000
HOUR_MS = 60 * 60 * 1000
# Cassandra's clients know no later time, and the year 10000 is none of Python's.
LAST_TIMESTAMP_MS = round(datetime.max.replace(tzinfo=UTC).timestamp() * 1000) - 1


def frame(received_ms: int, *trades: dict[str, Any]) -> Frame:
    return Frame(received_ms, json.dumps({"data": trades, "type": "trade"}))


def trade(t: Any, symbol: str = "A") -> dict[str, Any]:
    return {"c": None, "p": 1.5, "s": symbol, "t": t, "v": 1}


def test_the_survey_of_the_small_recording_agrees_with_polars() -> None:
    survey = survey_frames(read_recording(DEMO))
    trades = oracle.trades(DEMO)
    assert survey.trades == trades.height
    assert survey.partitions == Counter(
        (symbol, made // HOUR_MS * HOUR_MS) for symbol, made in trades.select("symbol", "t").rows()
    )
    assert survey.first_trade == trades["t"][0]
    assert survey.newest_trade == trades["t"].max()


def test_what_cannot_be_stored_counts_as_a_trade_but_has_no_partition() -> None:
    survey = survey_frames(
        [
            frame(1, trade(5), trade("x"), trade(-1), trade(LAST_TIMESTAMP_MS + 1)),
            Frame(2, "nonsense"),
            Frame(3, '{"type":"ping"}'),
        ]
    )
    assert (survey.frames, survey.trades, survey.partitions) == (3, 5, {("A", 0): 1})
    assert (survey.first_trade, survey.newest_trade) == (5, 5)


def test_the_last_millisecond_that_is_stored_has_a_partition() -> None:
    survey = survey_frames([frame(1, trade(LAST_TIMESTAMP_MS))])
    assert survey.partitions == {("A", LAST_TIMESTAMP_MS // HOUR_MS * HOUR_MS): 1}


def test_nothing_holds_nothing() -> None:
    assert survey_frames([]) == Survey(0, 0, {}, 0, 0, None, None)


def test_a_recording_without_trades_is_not_shifted() -> None:
    survey = survey_frames([Frame(1, '{"type":"ping"}')])
    assert shift_to_now(survey, None, NOW) == 0


def test_as_now_the_newest_trade_is_now_or_when_paced_the_first() -> None:
    frames = [frame(10, trade(1_000), trade(9_000)), frame(20, trade(5_000))]
    survey = survey_frames(frames)
    unpaced = survey_frames(shifted(frames, shift_to_now(survey, None, NOW)))
    paced = survey_frames(shifted(frames, shift_to_now(survey, 1, NOW)))
    assert unpaced.newest_trade == paced.first_trade == NOW


def test_as_now_does_not_send_trades_into_the_future() -> None:
    """The second half of ten minutes at twice the pace is sent five minutes early, which is the limit."""
    ten_minutes = 10 * 60 * 1000
    survey = survey_frames([frame(NOW, trade(0)), frame(NOW + ten_minutes, trade(0))])
    assert shift_to_now(survey, 1, NOW) == shift_to_now(survey, 2, NOW) == NOW
    with pytest.raises(
        MarketError, match=r"--speed 2\.001 would have stamped trades 5 minutes in the future"
    ):
        shift_to_now(survey, 2.001, NOW)


def test_without_a_shift_the_texts_are_the_very_same() -> None:
    frames = [Frame(1, '{ "type" : "trade", "data": [] }'), Frame(2, "nonsense")]
    assert list(shifted(frames, 0)) == frames


def test_a_shift_moves_receipts_and_trades_and_nothing_else() -> None:
    odd = [trade("x"), trade(None), trade(2**63 - 1), trade(LAST_TIMESTAMP_MS + 1), trade(True), 7]
    last = LAST_TIMESTAMP_MS
    frames = [
        Frame(1, json.dumps({"type": "trade", "data": [trade(0), trade(2e3), *odd, trade(last)], "more": 1})),
        Frame(2, '{"type":"ping"}'),
        Frame(3, "nonsense"),
        Frame(4, '{"type":"trade","data":7}'),
        Frame(5, "[1]"),
    ]
    first, *others = shifted(frames, 500)
    assert first.received_ms == 501
    moved = [trade(500), trade(2_500), *odd, trade(last + 500)]
    assert json.loads(first.text) == {"type": "trade", "data": moved, "more": 1}
    assert [one.text for one in others] == [one.text for one in frames[1:]]
    assert [one.received_ms for one in others] == [502, 503, 504, 505]


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.text(max_size=10)), max_size=30),
    st.sampled_from([None, 0.5, 1.0, 20.0]),
)
def test_chunks_lose_no_frame_and_keep_order_and_pace(
    items: list[tuple[int, str]], speed: float | None
) -> None:
    frames = [Frame(*item) for item in items]
    found = list(chunks(frames, speed))
    assert [text for _, texts in found for text in texts] == [one.text for one in frames]
    dues = [due for due, _ in found]
    assert dues == sorted(dues)
    if speed is None:
        assert set(dues) <= {0.0}
        return
    sent = 0
    for due, texts in found:
        sent += len(texts)
        latest = max(one.received_ms for one in frames[:sent])
        assert due == pytest.approx((latest - frames[0].received_ms) / 1000 / speed)


def test_large_recordings_go_in_chunks_of_limited_size() -> None:
    found = list(chunks((Frame(1, "x" * 1000) for _ in range(2000)), None))
    assert all(sum(map(len, texts)) < 200_000 for _, texts in found)
    assert len(found) < 40
    assert sum(len(texts) for _, texts in found) == 2000


@pytest.mark.parametrize(("letter", "count"), [("x", 8 * 1024**2 + 1), ("\u00e4", 4 * 1024**2 + 1)])
def test_a_frame_that_the_collector_does_not_take_is_refused_before_the_start(
    letter: str, count: int
) -> None:
    with pytest.raises(MarketError, match=rf"Line 2 held a frame of {len((letter * count).encode())} bytes"):
        survey_frames([Frame(1, "{}"), Frame(2, letter * count)])
    assert survey_frames([Frame(1, letter * (count - 1))]).frames == 1


# --- through the feed and the receiver ---


class IgnoredEvents:
    """Takes what the receiver has to publish."""

    def wake(self) -> None:
        pass

    def publish_event(self, event: object) -> None:
        pass


@contextmanager
def running_collector(home: Path, monkeypatch: pytest.MonkeyPatch, feed: str = "none") -> Iterator[Receiver]:
    """Run feed and receiver, and point the client to them."""
    monkeypatch.setenv("MARKET_HOME", str(home))
    with running_feed() as port, collector_that_says(monkeypatch, feed, home):
        monkeypatch.setenv("FEED_PORT", str(port))
        journals = JournalFolder(home / "journal", JournalLimits(10**6, 3600, 86_400, 10**9))
        endpoint = Endpoint("feed", f"ws://127.0.0.1:{port}/", SecretStr("t"), ("A",), None, None, 0.05, 0.5)
        last_seen = LastSeen(home / "journal" / "last-seen.json", Clock(), "")
        receiver = Receiver(endpoint, journals, IgnoredEvents(), last_seen)
        receiver.start()
        try:
            yield receiver
        finally:
            receiver.stop()
            receiver.join(LIMIT_SECONDS)
            journals.close()


def play(path: Path, speed: float | None = None, as_now: bool = False, into_live: bool = False) -> Any:
    return replay(path, speed, as_now, False, into_live, lambda _: None)


def journaled(home: Path, journals: list[str]) -> list[str]:
    return [decode(line).text for journal in journals for line in read_lines(home / "journal", journal)]


def test_a_recording_reaches_a_journal_of_its_own_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [one.text for one in read_recording(DEMO) if one.text != '{"type":"ping"}']
    with running_collector(tmp_path, monkeypatch) as receiver:
        started = time.monotonic()
        results = [play(DEMO), play(DEMO)]
        elapsed = time.monotonic() - started
        for result in results:
            assert 0 < result.seconds < elapsed
            assert journaled(tmp_path, result.journals) == texts
            assert result.trades == oracle.trades(DEMO).height
            assert (result.stored, result.dead_lettered) == (None, None)
            assert result.trades_per_second == pytest.approx(result.trades / result.seconds, rel=0.1)
        assert not set(results[0].journals) & set(results[1].journals)
        assert receiver.counters.trades == 2 * results[0].trades
        assert receiver.counters.repeated >= len(set(texts))


def test_journals_that_rotate_during_a_replay_are_all_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.jsonl"
    texts = [f"{number:06d}" + "x" * 2000 for number in range(2000)]
    path.write_bytes(b"".join(encode(Frame(1, text)) for text in texts))
    with running_collector(tmp_path, monkeypatch):
        result = play(path)
    assert len(result.journals) >= 4
    assert result.journals == sorted(result.journals)
    assert journaled(tmp_path, result.journals) == texts


def test_a_paced_replay_takes_its_time_and_begins_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "paced.jsonl"
    path.write_bytes(b"".join(map(encode, [frame(1_000, trade(900)), frame(2_000, trade(1_900))])))
    with running_collector(tmp_path, monkeypatch):
        before = time.time() * 1000
        result = play(path, speed=5, as_now=True)
        after = time.time() * 1000
    assert result.seconds >= 0.2
    first, second = (json.loads(text)["data"][0]["t"] for text in journaled(tmp_path, result.journals))
    assert second - first == 1_000
    assert before - 1 <= first <= after


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"hello\n", "is not a recording"), (encode(Frame(1, "x")) + b'{"rec', "is truncated")],
)
def test_nothing_of_a_bad_recording_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, sentence: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with running_collector(tmp_path, monkeypatch) as receiver:
        with pytest.raises(MarketError, match=sentence):
            play(path)
        assert receiver.counters.frames == 0


def test_a_live_feed_takes_a_replay_only_when_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_collector(tmp_path, monkeypatch, feed="live"):
        with pytest.raises(MarketError, match="--into-live"):
            play(DEMO)
        assert play(DEMO, into_live=True).trades > 0


def test_without_a_collector_or_a_feed_a_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKET_HOME", str(tmp_path))
    with running_feed() as port:
        pass
    monkeypatch.setenv("FEED_PORT", str(port))
    with (
        collector_that_says(monkeypatch, "none", tmp_path),
        pytest.raises(MarketError, match=r"feed service did not answer.*\./market up"),
    ):
        play(DEMO)
    with pytest.raises(MarketError, match=r"collector was not running.*\./market up"):
        play(DEMO)
    with (
        collector_that_says(monkeypatch, "none", tmp_path / "of another stack"),
        pytest.raises(MarketError, match="collector was not running"),
    ):
        play(DEMO)


def test_a_collector_that_goes_during_a_replay_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "slow.jsonl"
    path.write_bytes(b"".join(encode(frame(number * 100, trade(1))) for number in range(200)))
    with running_collector(tmp_path, monkeypatch) as receiver:

        def stop() -> None:
            wait_until(lambda: receiver.counters.frames > 3, "some frames", LIMIT_SECONDS, every=0.02)
            receiver.stop()

        thread = threading.Thread(target=stop)
        thread.start()
        with pytest.raises(MarketError, match="collector was disconnected after"):
            play(path, speed=1)
        thread.join()


class RecordingTracker:
    """Stands where the servers are waited for; keeps what it is asked for."""

    def __init__(self, settings: OpsSettings) -> None:
        self.requests: list[tuple[Any, ...]] = []
        RecordingTracker.last = self

    last: "RecordingTracker"

    def __enter__(self) -> "RecordingTracker":
        return self

    def __exit__(self, *_: object) -> None:
        self.requests.append(("closed",))

    def wait_until_stored(self, *arguments: Any) -> tuple[int, int]:
        self.requests.append(("stored", *arguments[:3]))
        return arguments[0] - 1, 1

    def wait_until_final(self, report: Any) -> None:
        self.requests.append(("final",))


@pytest.mark.parametrize("as_now", [False, True])
def test_a_wait_looks_for_the_trades_at_the_times_that_were_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_now: bool
) -> None:
    monkeypatch.setattr("ops.data.replay.ReplayTracker", RecordingTracker)
    started = time.monotonic()
    with running_collector(tmp_path, monkeypatch):
        result = replay(DEMO, None, as_now, True, False, lambda _: None)
        texts = journaled(tmp_path, result.journals)
    sent = [trade for text in texts for trade in json.loads(text)["data"]]
    partitions = Counter((trade["s"], trade["t"] // HOUR_MS * HOUR_MS) for trade in sent)
    stored, *others = RecordingTracker.last.requests
    assert stored == ("stored", len(sent), partitions, result.journals)
    assert others == [("final",), ("closed",)]
    assert (result.stored, result.dead_lettered) == (len(sent) - 1, 1)
    assert 0 < result.seconds < time.monotonic() - started
    is_now = abs(max(trade["t"] for trade in sent) - time.time() * 1000) < 60_000
    assert is_now == as_now


@contextmanager
def silent_feed(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run a feed that takes the connection, and neither reads nor answers."""
    released = threading.Event()

    def hang(connection: ServerConnection) -> None:
        released.wait(LIMIT_SECONDS)
        connection.close_socket()  # its own end of a connection would wait for an answer

    with scripted_server(hang) as port, collector_that_says(monkeypatch, "none", home):
        monkeypatch.setenv("MARKET_HOME", str(home))
        monkeypatch.setenv("FEED_PORT", str(port))
        yield
        released.set()


def test_only_sending_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.data.replay.NO_PROGRESS_SECONDS", 3.5)
    one, other = socket.socketpair()
    with one, other:
        limit_sending(one)
        limits = [
            struct.unpack("ll", one.getsockopt(socket.SOL_SOCKET, option, 16))
            for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO)
        ]
    assert limits == [(3, 500_000), (0, 0)]


def test_a_feed_that_takes_no_frames_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.data.replay.NO_PROGRESS_SECONDS", 0.4)
    path = tmp_path / "large.jsonl"
    path.write_bytes(b"".join(encode(Frame(1, "x" * 100_000)) for _ in range(500)))
    with (
        silent_feed(tmp_path, monkeypatch),
        pytest.raises(MarketError, match=r"took no frames for .*see \./market logs feed"),
    ):
        play(path)


def test_a_feed_that_does_not_answer_at_the_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.data.replay.NO_PROGRESS_SECONDS", 0.2)
    with (
        silent_feed(tmp_path, monkeypatch),
        pytest.raises(MarketError, match=r"feed service did not answer for .*see \./market logs feed"),
    ):
        play(DEMO)
