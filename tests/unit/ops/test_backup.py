"""What a backup copies, and where to."""

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from common.settings import ROOT
from ops.data import backup as module
from ops.data.backup import (
    Node,
    backup,
    check_database,
    check_tables,
    copy_database,
    output,
    republish_start,
    restart_superset,
    restore,
    schema_version,
    scratch,
    snapshot_files,
    superset_database,
)
from ops.errors import MarketError
from ops.lifecycle.services import SERVICES
from ops.settings import OpsSettings
from stack import free_ports


def test_a_snapshot_s_data_is_found_by_table_without_the_history_of_the_schema(tmp_path: Path) -> None:
    for table in ("trades-0a1b", "schema_migrations-2c3d", "schema_progress-4e5f"):
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


# --- the whole of it, with a node that links and takes files as Cassandra's does ---

MEBIBYTE = 2**20
JOURNAL = "20260301T000000000l.jsonl.gz"


class FakeNode:
    """Makes a snapshot of one table's file, and keeps what is imported."""

    calls: list[tuple[str, ...]]
    imported: dict[str, bytes]

    def __init__(self, settings: OpsSettings, report: object) -> None:
        self._tables = settings.market_home / "data" / "cassandra" / "data" / "market"
        FakeNode.calls, FakeNode.imported = [], {}

    def run(self, *arguments: str) -> str:
        self.calls.append(arguments)
        if arguments[0] == "snapshot":
            folder = self._tables / "trades-0a1b" / "snapshots" / arguments[2]
            folder.mkdir(parents=True)
            shutil.copy(self._tables / "trades-0a1b" / "da-1-bti-Data.db", folder)
        elif arguments[0] == "import":
            self.imported |= {path.name: path.read_bytes() for path in Path(arguments[3]).iterdir()}
        return ""


def names_in(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return [name for (name,) in database.execute("SELECT name FROM ab_user")]


def make_users(path: Path, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE ab_user (name)")
        database.execute("INSERT INTO ab_user VALUES (?)", (name,))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home with 30 MiB of trades, a journal and a database of Superset, at schema version 4."""
    home = tmp_path / "home"
    table = home / "data" / "cassandra" / "data" / "market" / "trades-0a1b"
    table.mkdir(parents=True)
    with (table / "da-1-bti-Data.db").open("wb") as file:
        file.write(b"rows")
        file.truncate(30 * MEBIBYTE)
    make_users(home / "data" / "superset" / "superset.db", "as backed up")
    (home / "journal").mkdir()
    (home / "journal" / JOURNAL).write_bytes(b"frames")
    monkeypatch.setattr(module, "Node", FakeNode)
    monkeypatch.setattr(module, "schema_version", lambda _: 4)
    monkeypatch.setattr(module, "table_names", lambda _: {"trades", "symbols"})
    return home


def test_what_was_backed_up_is_imported_and_superset_s_database_replaced(home: Path, tmp_path: Path) -> None:
    settings, target = OpsSettings(market_home=home), tmp_path / "backup.tar"
    sentences: list[str] = []
    backup(settings, str(target), sentences.append)
    [snapshot, cleared] = FakeNode.calls
    assert snapshot[:2] == ("snapshot", "--tag")
    assert snapshot[3:] == ("market",)
    assert cleared == ("clearsnapshot", "-t", snapshot[2], "--", "market")
    assert sentences == [
        "Backed up 1 tables of Cassandra, 1 journals and Superset's database: 30.0 MB. "
        "The passwords are not in it."
    ]
    make_users(superset_database(settings), "later")
    marker = superset_database(settings).with_name("provisioned-version")
    marker.touch()
    (home / "journal" / JOURNAL).unlink()
    sentences.clear()
    restore(settings, str(target), sentences.append)
    [(command, keyspace, table, _)] = FakeNode.calls
    assert (command, keyspace, table) == ("import", "market", "trades")
    content = (home / "data/cassandra/data/market/trades-0a1b/da-1-bti-Data.db").read_bytes()
    assert FakeNode.imported == {"da-1-bti-Data.db": content}
    assert names_in(superset_database(settings)) == ["as backed up"]
    assert not marker.exists()
    assert (home / "journal" / JOURNAL).read_bytes() == b"frames"
    assert [path.name for path in (home / "data" / "cassandra").iterdir()] == ["data"]
    created, superset, republish = sentences
    assert created.startswith("Restored 1 tables of Cassandra and 1 journals as of 20")
    assert superset == "Restart Superset, which then brings its restored database up to date."
    assert "./market republish --from 20" in republish


def test_a_backup_without_superset_is_restored_without_it(home: Path, tmp_path: Path) -> None:
    settings, target = OpsSettings(market_home=home), tmp_path / "backup.tar"
    sentences: list[str] = []
    superset_database(settings).unlink()
    backup(settings, str(target), sentences.append)
    assert sentences == ["Backed up 1 tables of Cassandra, 1 journals: 30.0 MB. The passwords are not in it."]
    make_users(superset_database(settings), "later")
    restore(settings, str(target), sentences.append)
    assert names_in(superset_database(settings)) == ["later"]
    assert not any("Superset" in sentence for sentence in sentences[1:])


def test_a_backup_is_restored_where_superset_never_ran(home: Path, tmp_path: Path) -> None:
    settings, target = OpsSettings(market_home=home), tmp_path / "backup.tar"
    backup(settings, str(target), lambda _: None)
    new = OpsSettings(market_home=home, superset_home=tmp_path / "new" / "superset")
    restore(new, str(target), lambda _: None)
    assert names_in(superset_database(new)) == ["as backed up"]


def test_nothing_is_imported_where_superset_s_database_is_none(home: Path, tmp_path: Path) -> None:
    settings, target = OpsSettings(market_home=home), tmp_path / "backup.tar"
    make_users(superset_database(settings), "as backed up")
    with closing(sqlite3.connect(superset_database(settings))) as database, database:
        database.execute("DROP TABLE ab_user")
    backup(settings, str(target), lambda _: None)
    with pytest.raises(MarketError, match="held no database of Superset"):
        restore(settings, str(target), lambda _: None)
    assert FakeNode.calls == []


def test_a_backup_that_fails_leaves_no_snapshot_and_no_file(home: Path, tmp_path: Path) -> None:
    settings, target = OpsSettings(market_home=home), tmp_path / "backup.tar"
    superset_database(settings).write_bytes(b"no database" * 1000)
    with pytest.raises(MarketError, match="database could not be copied"):
        backup(settings, str(target), lambda _: None)
    assert [call[0] for call in FakeNode.calls] == ["snapshot", "clearsnapshot"]
    assert not target.exists()


@pytest.mark.parametrize("pid", [None, 7])
def test_superset_is_started_again_where_a_supervisor_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pid: int | None
) -> None:
    calls: list[tuple[object, ...]] = []
    sentences: list[str] = []

    class FakeSupervisor:
        def __init__(self, home: Path) -> None:
            calls.append(("of", home))

        def pid(self) -> int | None:
            return pid

        def stop(self, name: str, seconds: float) -> None:
            calls.append(("stop", name, seconds))

        def start(self, name: str) -> None:
            calls.append(("start", name))

    monkeypatch.setattr(module, "Supervisor", FakeSupervisor)
    restart_superset(OpsSettings(market_home=tmp_path), sentences.append)
    [seconds] = [service.stop_seconds for service in SERVICES if service.name == "superset"]
    restarted = [("stop", "superset", seconds), ("start", "superset")]
    assert calls == [("of", tmp_path), *(restarted if pid else [])]
    assert [sentence.partition(" ")[0] for sentence in sentences] == ["Superset" if pid else "Restart"]


# --- nodetool's command line, run by something else than Java ---


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the program that is run in place of Java."""
    program = tmp_path / "jvm" / "bin" / "java"
    program.parent.mkdir(parents=True)
    monkeypatch.setattr(module, "ensure_java", lambda _: tmp_path / "jvm")
    monkeypatch.setattr(module, "ensure_jars", lambda *_: tmp_path / "cached")
    monkeypatch.delenv("MARKET_JARS", raising=False)
    return program


def node(java: Path, script: str) -> Node:
    java.write_text(f"#!/bin/sh\n{script}\n")
    java.chmod(0o755)
    settings = OpsSettings(cassandra_admin_password=SecretStr("secret"), cassandra_jmx_port=7299)
    return Node(settings, lambda _: None)


def test_nodetool_runs_with_the_jars_and_a_password_that_is_not_in_its_command_line(
    java: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
        printf '%s\\n' "$@"
        while [ "$1" != -pwf ]; do shift; done
        stat -c %a "$2"
        cat "$2"
    """
    *arguments, mode, login = node(java, script).run("import", "market").splitlines()
    assert (mode, login) == ("600", "admin secret")
    assert arguments[0] == f"@{ROOT}/cassandra/jvm.args"
    assert f"-Dlogback.configurationFile={ROOT}/cassandra/logback.xml" in arguments
    start = arguments.index("-cp")
    assert arguments[start + 1 : start + 8] == [
        f"{tmp_path}/cached/cassandra/*",
        "org.apache.cassandra.tools.NodeTool",
        "-p",
        "7299",
        "-u",
        "admin",
        "-pwf",
    ]
    assert arguments[-2:] == ["import", "market"]
    assert "secret" not in " ".join(arguments)
    monkeypatch.setenv("MARKET_JARS", "/jars")
    assert "/jars/cassandra/*" in node(java, script).run("info").splitlines()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo out; echo 'no such  table' >&2; exit 2", "no such table"),
        ("echo refused; exit 1", "refused"),
    ],
)
def test_what_nodetool_refuses_is_said_in_its_own_words(java: Path, script: str, words: str) -> None:
    with pytest.raises(MarketError, match=f"^Cassandra's import failed: {words}$"):
        node(java, script).run("import", "market")


def test_a_nodetool_that_hangs_is_given_up(java: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NODETOOL_SECONDS", 0.2)
    with pytest.raises(MarketError, match=r"Cassandra's import took more than 0\.2 s; see \./market doctor"):
        node(java, "exec sleep 60").run("import", "market")


def test_one_backup_runs_at_a_time_and_removes_what_one_that_was_killed_left(tmp_path: Path) -> None:
    parent = tmp_path / "data" / "cassandra"
    (parent / "backup-killed" / "trades").mkdir(parents=True)
    settings = OpsSettings(market_home=tmp_path)
    with scratch(settings):
        assert not (parent / "backup-killed").exists()
        with pytest.raises(MarketError, match="Another backup or restore was running"), scratch(settings):
            pass
    with scratch(settings) as folder:
        assert folder.exists()
    assert not folder.exists()


def test_a_backup_removes_the_snapshot_that_a_killed_one_left(home: Path, tmp_path: Path) -> None:
    (home / "data/cassandra/data/market/trades-0a1b/snapshots/backup-killed").mkdir(parents=True)
    backup(OpsSettings(market_home=home), str(tmp_path / "backup.tar"), lambda _: None)
    assert FakeNode.calls[0] == ("clearsnapshot", "-t", "backup-killed", "--", "market")
