"""The journal: what it keeps through rotation, a full disk and a kill at any byte."""

import gzip
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.journal import START, JournalError, JournalFolder, JournalWriter, Position, read_lines
from common.identity import journal_id
from common.recording import Frame, encode

ROTATE_BYTES = 1000
texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), min_size=1, max_size=10)


def open_folder(path: Path, rotate_bytes: int = ROTATE_BYTES, retention_days: float = 1) -> JournalFolder:
    return JournalFolder(path, rotate_bytes, retention_days)


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
        assert [one.id for one in folder.pending()] == ([journal.name[:19]] if kept else [])
        folder.close()


def test_every_frame_is_kept_through_rotation_in_order(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    texts = [f"frame {number:04d}" for number in range(200)]
    opened = write(folder, *texts)
    assert len(opened) > 5
    assert opened == sorted(opened)
    assert lines(tmp_path) == [encode(Frame(1, text)) for text in texts]
    assert all(path.stat().st_size < ROTATE_BYTES + 100 for path in tmp_path.glob("*.jsonl"))
    assert all(journal.closed for journal in folder.pending())


def test_a_journal_starts_with_its_first_frame(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    writer = JournalWriter(folder, "live", lambda: None)
    writer.flush()
    writer.close()
    assert folder.pending() == []
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
    [journal] = folder.pending()
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
    [journal] = folder.pending()
    assert journal.acked() == START
    journal.save_acked(Position(1, 30))
    folder.close()
    [again] = open_folder(tmp_path).pending()
    assert again.acked() == Position(1, 30)
    again.path.with_suffix(".acked").write_text("{")
    assert again.acked() == START


def test_a_published_journal_is_packed_and_keeps_its_time(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    write(folder, "a", "b")
    [journal] = folder.pending()
    journal.save_acked(Position(2, 60))
    content = journal.path.read_bytes()
    os.utime(journal.path, (1_000_000_000, 1_000_000_000))
    folder.archive(journal)
    folder.close()
    [packed] = [path for path in tmp_path.iterdir() if path.name != ".lock"]
    assert packed.name == f"{journal.id}.jsonl.gz"
    assert gzip.decompress(packed.read_bytes()) == content
    assert packed.stat().st_mtime == 1_000_000_000
    again = open_folder(tmp_path)
    assert again.pending() == []
    assert again.last_receipt("live") == 1_000_000_000
    assert again.last_receipt("demo") is None


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
    assert len(open_folder(tmp_path / "one").pending()) == 1
    assert open_folder(tmp_path / "two").pending() == []
    for name in ("one", "two"):
        assert lines(tmp_path / name) == [content]
        assert not list((tmp_path / name).glob("*.tmp"))


def test_only_packed_journals_expire_and_the_newest_stays(tmp_path: Path) -> None:
    names = [journal_id(moment, "live") for moment in (1_000, 2_000, 3_000)]
    for name in names:
        path = tmp_path / f"{name}.jsonl.gz"
        path.write_bytes(gzip.compress(encode(Frame(1, "a"))))
        os.utime(path, (1_000, 1_000))
    unpublished = tmp_path / f"{journal_id(1_500, 'live')}.jsonl"
    unpublished.write_bytes(encode(Frame(1, "a")))
    os.utime(unpublished, (1_000, 1_000))
    folder = open_folder(tmp_path, retention_days=1)
    folder.expire(1_000 + 86_399)
    assert len(list(tmp_path.glob("*.jsonl.gz"))) == 3
    folder.expire(1_000 + 86_401)
    assert [path.name for path in tmp_path.glob("*.jsonl.gz")] == [f"{names[-1]}.jsonl.gz"]
    assert unpublished.exists()
