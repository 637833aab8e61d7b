"""Feed events on disk."""

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collector import event_log
from collector.encoding import Event
from collector.event_log import EventLog, decode_event
from collector.line_file import START, Position


def event(number: int) -> Event:
    return Event(number, "feed-1", "gap", f"event {number}", 1.5)


def events(log: EventLog) -> list[Event]:
    return [decode_event(line) for line in log.path.read_bytes().splitlines(keepends=True)]


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_events_are_on_the_disk_at_once_and_after_a_restart(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    assert not log.path.exists()
    for number in range(3):
        log.append(event(number))
        assert events(log) == [event(earlier) for earlier in range(number + 1)]
    again = EventLog(tmp_path)
    again.append(event(3))
    assert events(again) == [event(number) for number in range(4)]


def test_a_torn_event_is_cut_off(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.append(event(0))
    with log.path.open("ab") as file:
        file.write(b'[1,"feed')
    again = EventLog(tmp_path)
    again.append(event(1))
    assert events(again) == [event(0), event(1)]


def test_events_of_many_threads_are_whole(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    threads = [
        threading.Thread(target=lambda start=start: [log.append(event(start + at)) for at in range(50)])  # type: ignore[misc]
        for start in range(0, 400, 50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(events(log)) == [event(number) for number in range(400)]


@pytest.mark.parametrize("room", [0, 1, 20])
def test_a_full_disk_loses_no_event_and_is_logged_once(
    tmp_path: Path, room: int, caplog: pytest.LogCaptureFixture
) -> None:
    log = EventLog(tmp_path)
    log.append(event(0))
    size = log.path.stat().st_size
    with disk_full_at(size + room):
        log.append(event(1))
        log.append(event(2))
        assert events(log) == [event(0)]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    log.write_again()
    assert events(log) == [event(0), event(1), event(2)]
    with disk_full_at(log.path.stat().st_size):
        log.append(event(3))
    assert len(caplog.records) == 2
    log.append(event(4))
    assert events(log) == [event(number) for number in range(5)]


def test_what_waits_for_the_disk_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(tmp_path)
    log.append(event(0))
    with disk_full_at(log.path.stat().st_size):
        for number in range(1, 1102):
            log.append(event(number))
    log.write_again()
    assert events(log) == [event(0), *(event(number) for number in range(102, 1102))]


def test_a_large_log_starts_anew_when_all_of_it_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "MAX_BYTES", 60)
    log = EventLog(tmp_path)
    log.append(event(0))
    first = log.path.stat().st_size
    assert not log.restart_when_large(Position(1, first))
    log.append(event(1))
    size = log.path.stat().st_size
    assert first < 60 <= size
    assert not log.restart_when_large(Position(1, first))
    log.save_acked(Position(2, size))
    assert log.restart_when_large(Position(2, size))
    assert log.acked() == START
    assert events(log) == []
    log.append(event(2))
    assert events(log) == [event(2)]


@pytest.mark.parametrize("line", [b"[1,2]", b"7", b"{}", b"[" * 10_000, b'[1,"s","k","d",null,1]'])
def test_a_line_that_is_no_event_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        decode_event(line)
