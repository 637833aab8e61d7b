"""A backup's file: whole or refused, before anything is touched."""

import io
import sqlite3
import tarfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.data.backup import (
    DESCRIPTION,
    SUPERSET_MEMBER,
    Description,
    copy_database,
    extract,
    output,
    read_description,
    snapshot_files,
    write_archive,
)
from ops.errors import MarketError

CREATED = datetime(2026, 1, 15, 14, 57, tzinfo=UTC)
CONTENT = {
    SUPERSET_MEMBER: b"users and dashboards",
    "cassandra/trades/da-1-bti-Data.db": b"rows" * 5000,
    "cassandra/bars_5s/da-1-bti-Data.db": b"",
}


def write(folder: Path, version: int = 1) -> Path:
    """Return a backup with CONTENT."""
    members = {}
    for number, (name, content) in enumerate(CONTENT.items()):
        members[name] = folder / f"member-{number}"
        members[name].write_bytes(content)
    sizes = {name: len(content) for name, content in CONTENT.items()}
    path = folder / "backup.tar"
    with path.open("wb") as stream:
        write_archive(stream, Description(CREATED, version, sizes), members)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "restored").mkdir()
    return tmp_path / "restored"


def test_what_was_backed_up_is_unpacked(tmp_path: Path, folder: Path) -> None:
    description = extract(str(write(tmp_path)), folder, 1)
    assert {name: (folder / name).read_bytes() for name in CONTENT} == CONTENT
    assert description.created == CREATED
    assert description.tables == ["bars_5s", "trades"]


@given(st.floats(min_value=0, max_value=1, exclude_max=True))
def test_a_backup_that_was_cut_short_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    path = write(folder)
    with tarfile.open(path) as archive:
        last = archive.getmembers()[-1]
        end = last.offset_data + last.size
    with path.open("r+b") as file:
        file.truncate(int(end * share))
    (folder / "restored").mkdir()
    with pytest.raises(MarketError, match=r"was not (a backup|whole)"):
        extract(str(path), folder / "restored", 1)


def test_a_backup_of_newer_code_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(MarketError, match="schema version 3, newer than this code's 2"):
        extract(str(write(tmp_path, version=3)), folder, 2)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped"])
def test_a_file_outside_the_folder_is_refused(tmp_path: Path, folder: Path, name: str) -> None:
    path = tmp_path / "backup.tar"
    (tmp_path / "file").write_bytes(b"x")
    with path.open("wb") as stream:
        write_archive(stream, Description(CREATED, 1, {name: 1}), {name: tmp_path / "file"})
    with pytest.raises(MarketError):
        extract(str(path), folder, 1)
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"format": 2, "created": "2026-01-15", "files": []}'])
def test_what_is_no_description_is_refused(text: bytes) -> None:
    with pytest.raises(MarketError, match="was not a backup"):
        read_description(text)


def test_an_archive_of_something_else_is_refused(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "other.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("other"), io.BytesIO())
    with pytest.raises(MarketError, match=r"other\.tar was not a backup"):
        extract(str(path), folder, 1)


def test_a_snapshot_s_data_is_found_by_table_without_the_history_of_the_schema(tmp_path: Path) -> None:
    for table in ("trades-0a1b", "schema_migrations-2c3d"):
        snapshot = tmp_path / table / "snapshots" / "mine"
        snapshot.mkdir(parents=True)
        for name in ("da-1-bti-Data.db", "manifest.json", "schema.cql"):
            (snapshot / name).touch()
        (tmp_path / table / "snapshots" / "other").mkdir()
        (tmp_path / table / "snapshots" / "other" / "da-2-bti-Data.db").touch()
    found = dict(snapshot_files(tmp_path, "mine"))
    assert found == {
        "cassandra/trades/da-1-bti-Data.db": tmp_path / "trades-0a1b/snapshots/mine/da-1-bti-Data.db"
    }


def test_a_backup_never_replaces_a_file_and_a_failed_one_leaves_none(tmp_path: Path) -> None:
    target = tmp_path / "backup.tar"
    with pytest.raises(RuntimeError), output(str(target)) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with output(str(target)) as stream:
        stream.write(b"whole")
    assert target.stat().st_mode & 0o077 == 0
    with pytest.raises(MarketError, match="existed already"), output(str(target)):
        pass
    assert target.read_bytes() == b"whole"


def test_a_database_in_use_is_copied_and_replaced(tmp_path: Path) -> None:
    source, target = tmp_path / "source.db", tmp_path / "target.db"
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        for database, value in ((old, "backed up"), (new, "later")):
            with database:
                database.execute("CREATE TABLE names (name TEXT)")
                database.execute("INSERT INTO names VALUES (?)", (value,))
        copy_database(source, target)
        assert new.execute("SELECT name FROM names").fetchall() == [("backed up",)]


def test_the_description_comes_first(tmp_path: Path) -> None:
    with tarfile.open(write(tmp_path)) as archive:
        assert archive.getnames() == [DESCRIPTION, *CONTENT]
