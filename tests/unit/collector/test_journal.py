"""The journal: what it keeps through rotation, a full disk and a kill at any byte."""

import gzip
import os
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.encoding import Event
from collector.event_log import decode_event
from collector.journal import (
    Journal,
    JournalError,
    JournalFolder,
    JournalLimits,
    JournalWriter,
    compress,
    journal_ids,
    read_lines,
)
from collector.line_file import START, Position
from collector.settings import CollectorSettings
from common.identity import journal_id
from common.recording import Frame, encode

ROTATE_BYTES = 1000
LIMITS = JournalLimits(
    rotate_bytes=ROTATE_BYTES,
    rotate_seconds=3600,
    retention_seconds=30 * 86_400,
    retention_bytes=10**9,
    fsync=False,
)
texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), min_size=1, max_size=10)


def open_folder(path: Path, **limits: Any) -> JournalFolder:
    return JournalFolder(path, LIMITS._replace(**limits))


def pending(folder: JournalFolder) -> list[Journal]:
    """Return the pending journals of all sources."""
    return [journal for journals in folder.pending().values() for journal in journals]


def write(folder: JournalFolder, *texts: str, source: str = "live") -> list[str]:
    """Append texts, one flush each; return the ids of the journals."""
    opened: list[str] = []
    writer = JournalWriter(folder, source, lambda: None, lambda journal: opened.append(journal.id))  # type: ignore[arg-type]
    for text in texts:
        writer.append(Frame(1, text))
        writer.flush()
    writer.close()
    return opened


def lines(folder: Path) -> list[bytes]:
    return [
        line
        for name in sorted({path.name[:19] for path in folder.glob("*.jsonl*")})
        for line in read_lines(folder, name)
    ]


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@given(texts, st.data())
def test_a_kill_at_any_byte_leaves_the_whole_lines_before_it(texts: list[str], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        whole = [encode(Frame(1, text)) for text in texts]
        content = b"".join(whole)
        cut = data.draw(st.integers(0, len(content)))
        journal = path / f"{journal_id(1_000, 'live')}.jsonl"
        journal.write_bytes(content[:cut])
        folder = open_folder(path)
        kept = [line for at, line in enumerate(whole) if len(b"".join(whole[: at + 1])) <= cut]
        assert lines(path) == kept
        assert [one.id for one in pending(folder)] == ([journal.name[:19]] if kept else [])
        folder.close()


def test_every_frame_is_kept_through_rotation_in_order(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    texts = [f"frame {number:04d}" for number in range(200)]
    opened = write(folder, *texts)
    assert len(opened) > 5
    assert opened == sorted(opened)
    assert lines(tmp_path) == [encode(Frame(1, text)) for text in texts]
    assert all(path.stat().st_size < ROTATE_BYTES + 100 for path in tmp_path.glob("*.jsonl"))
    assert all(journal.closed for journal in pending(folder))


def test_a_journal_starts_with_its_first_frame(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    writer = JournalWriter(folder, "live", lambda: None)
    writer.flush()
    writer.close()
    assert pending(folder) == []
    assert list(tmp_path.glob("*.jsonl*")) == []


def test_ids_rise_even_when_the_clock_was_set_back(tmp_path: Path) -> None:
    future = journal_id(4_000_000_000_000, "replay")
    (tmp_path / f"{future}.jsonl.gz").write_bytes(gzip.compress(encode(Frame(1, "x"))))
    folder = open_folder(tmp_path)
    opened = [write(folder, "y", source=source)[0] for source in ("demo", "live", "demo")]
    assert [future, *opened] == sorted({future, *opened})


def test_a_second_collector_cannot_have_the_folder(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    with pytest.raises(JournalError, match="Another collector"):
        open_folder(tmp_path)
    folder.close()
    open_folder(tmp_path).close()


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="could not be written"):
        open_folder(tmp_path / "file" / "journal")


@pytest.mark.parametrize("margin", [0, 1, 20, 45])
def test_a_full_disk_tears_no_line_and_loses_no_frame(tmp_path: Path, margin: int) -> None:
    folder = open_folder(tmp_path)
    writer = JournalWriter(folder, "live", lambda: None)
    writer.append(Frame(1, "before"))
    writer.flush()
    [journal] = pending(folder)
    size = journal.path.stat().st_size
    writer.append(Frame(2, "first"))
    writer.append(Frame(3, "second"))
    with disk_full_at(size + margin), pytest.raises(OSError, match=r"space|large"):
        writer.flush()
    assert journal.path.stat().st_size == size
    writer.flush()
    assert lines(tmp_path) == [
        encode(frame) for frame in (Frame(1, "before"), Frame(2, "first"), Frame(3, "second"))
    ]


def test_what_is_acknowledged_is_found_again(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    write(folder, "a", "b")
    [journal] = pending(folder)
    assert journal.acked() == START
    journal.save_acked(Position(1, 30))
    folder.close()
    [again] = pending(open_folder(tmp_path))
    assert again.acked() == Position(1, 30)
    again.path.with_suffix(".acked").write_text("{")
    assert again.acked() == START


def settle_compressor(folder: JournalFolder) -> None:
    """Wait until the compressor has done what it was given."""
    folder._compressor.submit(lambda: None).result(30)


def test_a_published_journal_is_compressed_and_keeps_its_time(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    write(folder, "a", "b")
    [journal] = pending(folder)
    journal.save_acked(Position(2, 60))
    content = journal.path.read_bytes()
    os.utime(journal.path, (1_000_000_000, 1_000_000_000))
    folder.archive(journal)
    assert pending(folder) == []
    settle_compressor(folder)
    folder.close()
    [packed] = [path for path in tmp_path.iterdir() if path.name != ".lock"]
    assert packed.name == f"{journal.id}.jsonl.gz"
    assert gzip.decompress(packed.read_bytes()) == content
    assert packed.stat().st_mtime == 1_000_000_000
    again = open_folder(tmp_path)
    assert pending(again) == []


def test_the_end_of_the_process_does_not_wait_for_the_compressor(tmp_path: Path) -> None:
    folder = open_folder(tmp_path, rotate_bytes=10**9)
    writer = JournalWriter(folder, "live", lambda: None)
    for _ in range(3):
        writer.append(Frame(1, os.urandom(16_000_000).hex()))
        writer.close()
    content = {path.name: path.read_bytes() for path in tmp_path.glob("*.jsonl")}
    for journal in pending(folder):
        folder.archive(journal)
    folder.close()
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.jsonl")} == content
    assert not list(tmp_path.glob("*.gz*"))
    assert len(pending(open_folder(tmp_path))) == 3


def test_a_journal_that_could_not_be_compressed_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = open_folder(tmp_path, rotate_bytes=10**9)
    write(folder, os.urandom(50_000).hex())
    [journal] = pending(folder)
    content = journal.path.read_bytes()
    with disk_full_at(1000):
        folder.archive(journal)
        settle_compressor(folder)
        assert caplog.messages == [f"The journal {journal.id} could not be compressed: File too large."]
        folder.expire()
        settle_compressor(folder)
    assert len(caplog.messages) == 1
    assert [path.name for path in tmp_path.glob("*.jsonl*")] == [f"{journal.id}.jsonl"]
    folder.expire()
    settle_compressor(folder)
    [packed] = tmp_path.glob("*.jsonl*")
    assert gzip.decompress(packed.read_bytes()) == content
    write(folder, os.urandom(50_000).hex())
    with disk_full_at(1000):
        folder.archive(pending(folder)[0])
        settle_compressor(folder)
    assert len(caplog.messages) == 2


def test_compressing_stops_when_it_is_told_to(tmp_path: Path) -> None:
    path = tmp_path / f"{journal_id(1_000, 'live')}.jsonl"
    path.write_bytes(b"x\n")
    stopping = threading.Event()
    stopping.set()
    compress(Journal(path, closed=True), stopping)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_kill_while_packing_leaves_one_whole_journal(tmp_path: Path) -> None:
    content = encode(Frame(1, "a"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    journal = journal_id(1_000, "live")
    (tmp_path / "one" / f"{journal}.jsonl").write_bytes(content)
    (tmp_path / "one" / f"{journal}.jsonl.gz.tmp").write_bytes(b"half")
    (tmp_path / "two" / f"{journal}.jsonl").write_bytes(content)
    (tmp_path / "two" / f"{journal}.acked").write_text("{}")
    (tmp_path / "two" / f"{journal}.jsonl.gz").write_bytes(gzip.compress(content))
    assert len(pending(open_folder(tmp_path / "one"))) == 1
    assert pending(open_folder(tmp_path / "two")) == []
    for name in ("one", "two"):
        assert lines(tmp_path / name) == [content]
        assert not list((tmp_path / name).glob("*.tmp"))


def packed(folder: Path, moment: int, size: int = 1) -> str:
    """Write a compressed journal that is `moment` seconds old by its id and its time."""
    name = journal_id(moment * 1000, "live")
    path = folder / f"{name}.jsonl.gz"
    path.write_bytes(b"x" * size)
    os.utime(path, (moment, moment))
    return name


def test_only_packed_journals_expire_and_the_newest_stays(tmp_path: Path) -> None:
    now = int(time.time())
    old = [packed(tmp_path, now - 90_000 + at) for at in range(2)]
    young = packed(tmp_path, now - 80_000)
    unpublished = tmp_path / f"{journal_id((now - 100_000) * 1000, 'live')}.jsonl"
    unpublished.write_bytes(encode(Frame(1, "a")))
    os.utime(unpublished, (now - 100_000, now - 100_000))
    folder = open_folder(tmp_path, retention_seconds=86_400)
    assert folder.expire() is None
    assert sorted(path.name for path in tmp_path.glob("*.jsonl*")) == [unpublished.name, f"{young}.jsonl.gz"]
    assert old[0] not in journal_ids(tmp_path)
    folder.limits = folder.limits._replace(retention_seconds=1)
    assert folder.expire() is None
    assert journal_ids(tmp_path) == [unpublished.stem, young]


def test_unpublished_journals_that_take_too_much_are_told_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    packed(tmp_path, 1, size=100)
    packed(tmp_path, 2, size=100)
    folder = open_folder(tmp_path, retention_bytes=1000, rotate_bytes=10**6)
    write(folder, "x" * 760)
    assert folder.expire() is None
    assert "JOURNAL_RETENTION_GIGABYTES" not in caplog.text
    write(folder, "x" * 30)
    assert folder.expire() is None
    assert caplog.text.count("JOURNAL_RETENTION_GIGABYTES") == 1
    assert folder.expire() is None
    assert caplog.text.count("JOURNAL_RETENTION_GIGABYTES") == 1
    assert not folder.events.path.exists()
    write(folder, "x" * 200)
    before = int(time.time() * 1000)
    sentence = folder.expire()
    assert sentence is not None
    assert "never removed" in sentence
    assert folder.expire() == sentence
    [line] = folder.events.path.read_bytes().splitlines()
    told = decode_event(line)
    assert told == Event(told.at, "journal", "refused", sentence, None)
    assert before <= told.at <= int(time.time() * 1000)
    assert len(pending(folder)) == 3
    assert not list(tmp_path.glob("*.gz"))
    folder.limits = folder.limits._replace(retention_bytes=10**6)
    assert folder.expire() is None
    folder.limits = folder.limits._replace(retention_bytes=1000)
    assert folder.expire() == sentence
    assert len(folder.events.path.read_bytes().splitlines()) == 2


@pytest.mark.parametrize(
    ("gibibytes", "warns", "is_full"), [(2.0, False, False), (2.5, True, False), (3.0, True, True)]
)
def test_the_room_for_unpublished_journals_is_told_in_gibibytes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, gibibytes: float, warns: bool, is_full: bool
) -> None:
    folder = open_folder(tmp_path, retention_bytes=int(2.5 * 2**30))
    write(folder, "x")
    os.truncate(pending(folder)[0].path, int(gibibytes * 2**30))  # takes no room on the disk
    sentence = folder.expire()
    assert ([f"take {gibibytes:.2f} GiB of the 2.50 GiB of" in text for text in caplog.messages]) == [
        True
    ] * warns
    assert sentence == (caplog.messages[0] if is_full else None)


def test_a_journal_that_is_compressed_already_takes_no_room_as_unpublished(tmp_path: Path) -> None:
    folder = open_folder(tmp_path, retention_bytes=1000)
    (tmp_path / f"{packed(tmp_path, int(time.time()))}.jsonl").write_bytes(b"x" * 2000)
    assert folder.expire() is None


def test_an_expired_journal_that_cannot_be_removed_is_told(tmp_path: Path) -> None:
    folder = open_folder(tmp_path, retention_seconds=1)
    (tmp_path / f"{journal_id(1_000, 'live')}.jsonl.gz").mkdir()
    os.utime(tmp_path / f"{journal_id(1_000, 'live')}.jsonl.gz", (1, 1))
    packed(tmp_path, 2)
    assert folder.expire() == "Expired journals could not be removed: Is a directory."


def test_a_journal_is_finished_when_it_has_its_size(tmp_path: Path) -> None:
    frame = Frame(1, "a")
    folder = open_folder(tmp_path / "new" / "folder", rotate_bytes=2 * len(encode(frame)))
    writer = JournalWriter(folder, "live", lambda: None)
    for closed in (False, True):
        writer.append(frame)
        writer.flush()
        assert [journal.closed for journal in pending(folder)] == [closed]


def test_a_journal_is_finished_when_it_is_old_enough(tmp_path: Path) -> None:
    folder = open_folder(tmp_path, rotate_seconds=0)
    appended: list[bool] = []
    writer = JournalWriter(folder, "live", lambda: appended.append(pending(folder)[-1].closed))
    writer.append(Frame(1, "a"))
    writer.flush()
    assert appended == [False, True]
    writer.flush()
    writer.append(Frame(1, "b"))
    writer.flush()
    assert [journal.closed for journal in pending(folder)] == [True, True]
    later = JournalWriter(open_folder(tmp_path / "later", rotate_seconds=3600), "live", lambda: None)
    later.append(Frame(1, "a"))
    later.flush()
    later.flush()
    assert [journal.closed for journal in pending(later._folder)] == [False]


@pytest.mark.parametrize("fsync", [False, True])
def test_frames_are_forced_to_the_disk_when_it_is_set(
    tmp_path: Path, fsync: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def sync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(os, "fsync", sync)
    folder = open_folder(tmp_path, fsync=fsync)
    [name] = write(folder, "a")
    assert synced == ([str(tmp_path), str(tmp_path / f"{name}.jsonl")] if fsync else [])


def test_the_limits_are_those_of_the_settings() -> None:
    settings = CollectorSettings(
        journal_rotate_megabytes=2,
        journal_rotate_minutes=3,
        journal_retention_days=4,
        journal_retention_gigabytes=0.5,
        journal_fsync=True,
    )
    assert JournalLimits.from_settings(settings) == (2 * 2**20, 180.0, 345_600.0, 2**29, True)


def test_a_damaged_compressed_journal_is_told_after_what_can_be_read(tmp_path: Path) -> None:
    content = b"".join(encode(Frame(number, os.urandom(40).hex())) for number in range(3000))
    name = packed(tmp_path, 1)
    path = tmp_path / f"{name}.jsonl.gz"
    path.write_bytes(gzip.compress(content)[:-40_000])
    lines: list[bytes] = []
    with pytest.raises(JournalError, match=rf"{name} is damaged after line (\d+)") as error:
        lines.extend(read_lines(tmp_path, name))
    assert f"after line {len(lines)}:" in str(error.value) or not lines
    path.write_bytes(b"\x1f\x8b garbage")
    with pytest.raises(JournalError, match="is damaged after line 0"):
        list(read_lines(tmp_path, name))


def test_lines_of_a_journal_end_at_the_first_that_has_no_end(tmp_path: Path) -> None:
    name = journal_id(1_000, "demo")
    (tmp_path / f"{name}.jsonl").write_bytes(b"a\nb\nc")
    assert list(read_lines(tmp_path, name)) == [b"a\n", b"b\n"]


def test_pending_journals_are_told_by_source_and_age(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    opened: dict[str, list[str]] = {"live": [], "demo": []}
    for source in ("live", "demo", "live", "demo"):
        opened[source] += write(folder, "x", source=source)
    assert {source: [one.id for one in journals] for source, journals in folder.pending().items()} == opened
    folder.close()
    again = open_folder(tmp_path)
    assert {source: [one.id for one in journals] for source, journals in again.pending().items()} == opened
    assert all(
        one.closed and one.source == source for source, all_ in again.pending().items() for one in all_
    )


def test_what_is_tidied_up_leaves_the_journals_after_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    foreign, is_packed, empty, torn = "0-notes", *(journal_id(at, "live") for at in (1_000, 2_000, 3_000))
    line = encode(Frame(1, "a"))
    for name, content in ((foreign, b""), (is_packed, line), (empty, b""), (torn, line + b"half")):
        (tmp_path / f"{name}.jsonl").write_bytes(content)
    (tmp_path / f"{is_packed}.jsonl.gz").write_bytes(gzip.compress(line))
    folder = open_folder(tmp_path)
    assert [journal.id for journal in pending(folder)] == [torn]
    assert caplog.messages == [f"The last line of {torn}.jsonl was torn; its 4 bytes were cut off."]
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == [f"{foreign}.jsonl", f"{torn}.jsonl"]


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl").write_bytes(b"torn")
    (tmp_path / "last-seen.json").write_bytes(b"{}")
    (tmp_path / f"{journal_id(1, 'live')}.acked").write_text("{}")
    folder = open_folder(tmp_path)
    folder.expire()
    assert pending(folder) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "last-seen.json", "notes.jsonl"]


def test_a_journal_that_cannot_be_finished_is_still_closed(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    writer = JournalWriter(folder, "live", lambda: None)
    writer.append(Frame(1, "a"))
    writer.flush()
    [journal] = pending(folder)
    writer.append(Frame(1, "b"))
    with disk_full_at(journal.size()), pytest.raises(OSError, match=r"space|large"):
        writer.close()
    assert journal.closed
