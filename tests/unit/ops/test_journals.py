"""The journal in a backup: what is copied, and what comes back."""

import gzip
import os
from pathlib import Path

import pytest

from ops.data.journals import copy_journals, restore_journals

OLD, PACKED, OPEN = "20260301T000000000l", "20260308T000000000r", "20260309T000000000d"
NOW = 1_773_100_000.0


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return a folder with a journal that is too old, a compressed one, and one that is written."""
    folder = tmp_path / "journal"
    folder.mkdir()
    for name, days in ((OLD, 8), (PACKED, 1)):
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(name.encode() + b"\n"))
        os.utime(folder / f"{name}.jsonl.gz", (NOW - days * 86_400,) * 2)
    (folder / f"{OPEN}.jsonl").write_bytes(b"whole\ntorn")
    os.utime(folder / f"{OPEN}.jsonl", (NOW, NOW))
    for name in ("events.jsonl", f"{OPEN}.acked", f"{OPEN}.jsonl.gz.tmp"):
        (folder / name).touch()
    return folder


def copies(journal: Path, tmp_path: Path) -> list[Path]:
    (tmp_path / "copies").mkdir()
    return list(copy_journals(journal, NOW - 7 * 86_400, tmp_path / "copies"))


def test_the_last_days_are_copied_up_to_their_last_whole_lines(journal: Path, tmp_path: Path) -> None:
    found = copies(journal, tmp_path)
    assert [(path.name, gzip.decompress(path.read_bytes())) for path in found] == [
        (f"{PACKED}.jsonl.gz", PACKED.encode() + b"\n"),
        (f"{OPEN}.jsonl.gz", b"whole\n"),
    ]
    assert [path.stat().st_mtime for path in found] == [NOW - 86_400, NOW]


def test_what_is_missing_comes_back_with_its_time_and_what_is_there_stays(
    journal: Path, tmp_path: Path
) -> None:
    found = copies(journal, tmp_path)
    empty = tmp_path / "empty" / "journal"
    assert restore_journals(found, empty) == 2
    assert sorted(path.name for path in empty.iterdir()) == [path.name for path in found]
    assert (empty / found[0].name).stat().st_mtime == NOW - 86_400
    before = {path: path.read_bytes() for path in journal.iterdir()}
    (journal / f"{PACKED}.jsonl.gz").write_bytes(b"mine")
    assert restore_journals(found, journal) == 0
    assert {path: path.read_bytes() for path in journal.iterdir()} == before | {
        journal / f"{PACKED}.jsonl.gz": b"mine"
    }
