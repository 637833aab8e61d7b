"""The router: what is journaled where, what is counted, and what a full disk does."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.activity import Activity
from collector.journal import JournalFolder, JournalLimits, JournalWriter, journal_ids, read_lines
from collector.market_hours import MarketHours
from collector.router import Router
from common.identity import Source, journal_source
from common.recording import decode
from feeds import LIMIT_SECONDS

TRADES = (
    b'{"data":[{"p":1,"s":"A","t":1,"v":1},{"p":1,"s":"B","t":1,"v":1},{"p":2,"s":"A","t":1,"v":1}],'
    b'"type":"trade"}'
)
DEMO = b'{"type":"source","source":"demo"}'
REPLAY = b'{"type":"source","source":"replay","run":"r"}'
END = b'{"type":"source","source":"replay","run":"r","end":true}'


@pytest.fixture
def journals(tmp_path: Path) -> Iterator[JournalFolder]:
    folder = JournalFolder(tmp_path, JournalLimits(10**6, 3600, 86_400, 10**9))
    yield folder
    folder.close()


def routing(journals: JournalFolder, source: Source | None) -> tuple[Router, Activity]:
    activity = Activity(MarketHours())
    for symbol in ("A", "B", "C"):
        activity.subscribe(symbol, "24/7", 0.0)
    return Router(journals, source, activity, lambda: None), activity


def frames(folder: Path) -> list[tuple[str, int, str]]:
    """Return source, receipt and text of every journaled frame."""
    return [
        (journal_source(journal), *decode(line))
        for journal in journal_ids(folder)
        for line in read_lines(folder, journal)
    ]


def test_trades_are_counted_in_all_and_by_symbol(journals: JournalFolder, tmp_path: Path) -> None:
    router, activity = routing(journals, "live")
    assert router.handle_messages([TRADES], 5, 10.0) == []
    assert router.handle_messages([b'{"type":"ping"}'], 6, 20.0) == []
    counters = router.counters
    assert (counters.frames, counters.trades, counters.repeated, counters.pings) == (1, 3, 0, 1)
    assert (counters.last_frame, counters.last_trade) == (20.0, 10.0)
    assert {symbol: (seen.trades, seen.last_trade) for symbol, seen in activity.symbols.items()} == {
        "A": (2, 10.0),
        "B": (1, 10.0),
        "C": (0, None),
    }
    assert frames(tmp_path) == []
    router.flush()
    assert frames(tmp_path) == [("live", 5, TRADES.decode())]
    router.close()


@pytest.mark.parametrize(
    "other", [b"{}", b"3", b"null", b'"s"', b'{"s":[]}', b'{"s":{}}', b'{"s":null}', b"[]"]
)
def test_what_is_no_trade_keeps_no_other_from_being_counted(journals: JournalFolder, other: bytes) -> None:
    router, activity = routing(journals, "live")
    router.handle_messages([b'{"type":"trade","data":[{"s":"A"},' + other + b',{"s":"A"}]}'], 5, 10.0)
    assert router.counters.trades == 3
    assert activity.symbols["A"].trades == 2
    router.close()


def test_a_frame_without_trades_is_no_sign_of_trading(journals: JournalFolder) -> None:
    router, _ = routing(journals, "live")
    router.handle_messages([b'{"type":"trade","data":[]}'], 5, 10.0)
    assert (router.counters.frames, router.counters.trades, router.counters.last_trade) == (1, 0, None)
    router.close()


def test_trades_of_a_replay_are_no_sign_of_a_symbol(journals: JournalFolder, tmp_path: Path) -> None:
    router, activity = routing(journals, None)
    router.handle_messages([DEMO, REPLAY, TRADES, DEMO, TRADES, END], 5, 10.0)
    router.flush()
    assert (router.counters.trades, router.counters.frames) == (6, 2)
    assert activity.symbols["A"].trades == 2
    assert sorted(source for source, *_ in frames(tmp_path)) == ["demo", "replay"]
    journal = next(name for name in journal_ids(tmp_path) if journal_source(name) == "replay")
    assert router.take_replies() == [
        {"type": "journal", "run": "r", "journal": journal},
        {"type": "closed", "run": "r"},
    ]
    assert router.take_replies() == []
    router.close()


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (b'{"type":"error","msg":"no"}', "no"),
        (b'{"type":"error","msg":"' + b"x" * 500 + b'"}', "x" * 300),
        (b'{"type":"error","msg":["a"]}', "an error without a text (list)"),
        (b'{"type":"error"}', "an error without a text (NoneType)"),
        (b'{"type":"news"}', None),
        (b'["error"]', None),
    ],
)
def test_an_error_of_the_feed_is_returned_and_journaled(
    journals: JournalFolder, tmp_path: Path, frame: bytes, error: str | None
) -> None:
    router, _ = routing(journals, "live")
    assert router.handle_messages([frame], 5, 10.0) == ([] if error is None else [error])
    router.close()
    assert len(frames(tmp_path)) == 1


def test_an_error_in_a_replay_is_data_and_one_before_any_source_is_told(journals: JournalFolder) -> None:
    router, _ = routing(journals, None)
    error = b'{"type":"error","msg":"no"}'
    assert router.handle_messages([error], 5, 10.0) == ["no"]
    router.handle_messages([REPLAY], 5, 10.0)
    assert router.handle_messages([error], 5, 10.0) == []
    assert router.counters.frames == 1
    router.close()


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"source"',
        b'{"type":"source"}',
        b'{"type":"source","source":"other"}',
        b'{"type":"source","source":["replay"]}',
        b'{"type":"source","source":"replay"}',
        b'{"type":"source","source":"replay","run":{}}',
    ],
)
def test_a_control_frame_that_says_nothing_is_a_frame_like_any_other(
    journals: JournalFolder, tmp_path: Path, frame: bytes
) -> None:
    router, _ = routing(journals, None)
    router.handle_messages([DEMO], 5, 10.0)
    router.handle_messages([frame], 5, 10.0)
    router.close()
    assert frames(tmp_path) == [("demo", 5, frame.decode())]


def test_the_end_of_a_connection_ends_its_replays_and_forgets_its_replies(
    journals: JournalFolder, tmp_path: Path
) -> None:
    router, _ = routing(journals, None)
    for frame in (DEMO, REPLAY, TRADES):
        router.handle_messages([frame], 5, 10.0)
    router.disconnected()
    assert router.take_replies() == []
    for frame in (TRADES, REPLAY, TRADES):
        router.handle_messages([frame], 6, 11.0)
    router.close()
    assert [(source, received) for source, received, _ in sorted(frames(tmp_path))] == [
        ("demo", 6),
        ("replay", 5),
        ("replay", 6),
    ]
    assert len({journal for journal in journal_ids(tmp_path) if journal_source(journal) == "replay"}) == 2


class FullDisk:
    """A disk that takes nothing until `freed` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.freed = threading.Event()
        self.attempts = threading.Semaphore(0)
        write = JournalWriter.flush

        def flush(writer: JournalWriter) -> None:
            if not self.freed.is_set():
                self.attempts.release()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(writer)

        monkeypatch.setattr(JournalWriter, "flush", flush)
        monkeypatch.setattr("collector.router.DISK_RETRY_SECONDS", 0.01)


def test_on_a_full_disk_it_waits_says_so_once_and_goes_on_without_a_loss(
    journals: JournalFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FullDisk(monkeypatch)
    router, _ = routing(journals, "live")
    router.handle_messages([TRADES], 5, 10.0)
    thread = threading.Thread(target=router.flush)
    with caplog.at_level("INFO"):
        thread.start()
        for _ in range(3):
            assert disk.attempts.acquire(timeout=LIMIT_SECONDS)
        assert router.problem == "The journal could not be written: No space left on device."
        disk.freed.set()
        thread.join(LIMIT_SECONDS)
    assert not thread.is_alive()
    assert router.problem is None
    assert [record.getMessage() for record in caplog.records] == [
        "The journal could not be written: No space left on device. Trying again.",
        "The journal is written again.",
    ]
    assert len(frames(tmp_path)) == 1
    router.close()


def test_a_full_disk_does_not_keep_it_from_its_end(
    journals: JournalFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FullDisk(monkeypatch)
    router, _ = routing(journals, "live")
    router.handle_messages([TRADES], 5, 10.0)
    thread = threading.Thread(target=router.flush)
    thread.start()
    assert disk.attempts.acquire(timeout=LIMIT_SECONDS)
    router.stop()
    thread.join(LIMIT_SECONDS)
    assert not thread.is_alive()
    router.close()
    assert "are lost: No space left on device" in caplog.text
