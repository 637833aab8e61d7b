"""What a backup copies, and where to."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops.data.backup import (
    check_database,
    check_tables,
    copy_database,
    output,
    republish_start,
    schema_version,
    scratch,
    snapshot_files,
    superset_database,
)
from ops.errors import MarketError
from ops.settings import OpsSettings
from stack import free_ports


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


def test_a_database_that_cannot_be_written_to_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MarketError, match=r"Superset's database could not be copied to .*nowhere/x\.db"):
        copy_database(tmp_path / "source.db", tmp_path / "nowhere" / "x.db")


def test_only_a_whole_database_of_superset_is_restored(tmp_path: Path) -> None:
    path = tmp_path / "superset.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE other (x)")
    with pytest.raises(MarketError, match=r"no such table: ab_user\); nothing was restored"):
        check_database(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE ab_user (name)")
        database.executemany("INSERT INTO ab_user VALUES (?)", [("x" * 1000,)] * 100)
    check_database(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(MarketError, match="held no database of Superset"):
        check_database(path)
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(MarketError, match="held no database of Superset"):
        check_database(path)


def test_a_table_that_the_schema_does_not_know_is_refused() -> None:
    check_tables(["bars_5s", "trades"], {"trades", "bars_5s", "symbols"})
    with pytest.raises(MarketError, match="held the table candles, unknown to this schema; nothing was"):
        check_tables(["candles", "trades"], {"trades"})
    with pytest.raises(MarketError, match="schema_migrations"):
        check_tables(["schema_migrations"], {"schema_migrations"})


def test_what_is_published_again_begins_before_the_backup() -> None:
    assert republish_start(datetime(2026, 1, 15, 14, 57, 31, tzinfo=UTC)) == "2026-01-15T14:47+00:00"


def test_a_backup_is_not_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import pty

    parent, child = pty.openpty()
    try:
        monkeypatch.setattr(os, "dup", lambda _: child)
        with pytest.raises(MarketError, match="not for a terminal"), output("-"):
            pass
    finally:
        os.close(parent)


def test_a_backup_goes_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with output("-") as stream:
        stream.write(b"content")
    assert capfdbinary.readouterr().out == b"content"


def test_a_backup_into_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    target = tmp_path / "absent" / "backup.tar"
    with (
        pytest.raises(MarketError, match=r"backup\.tar could not be written: No such file"),
        output(str(target)),
    ):
        pass


def test_without_a_stack_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    settings = OpsSettings(market_home=tmp_path, cassandra_port=free_ports(1)[0])
    with (
        pytest.raises(MarketError, match=r"no data of Cassandra in .*: run \./market up first"),
        scratch(settings),
    ):
        pass
    with pytest.raises(
        MarketError, match=r"Cassandra did not answer at 127\.0\.0\.1:\d+; see \./market status"
    ):
        schema_version(settings)


def test_unpacked_files_lie_on_the_disk_of_cassandra_and_do_not_stay(tmp_path: Path) -> None:
    parent = tmp_path / "data" / "cassandra"
    parent.mkdir(parents=True)
    with scratch(OpsSettings(market_home=tmp_path)) as folder:
        assert folder.parent == parent
        (folder / "file").touch()
    assert list(parent.iterdir()) == []


def test_superset_s_database_is_in_its_own_home_or_in_the_stack_s(tmp_path: Path) -> None:
    own = OpsSettings(market_home=tmp_path, superset_home=tmp_path / "own")
    assert superset_database(own) == tmp_path / "own" / "superset.db"
    assert (
        superset_database(OpsSettings(market_home=tmp_path)) == tmp_path / "data" / "superset" / "superset.db"
    )
