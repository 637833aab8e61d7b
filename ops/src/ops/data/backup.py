"""Backup and restore of Cassandra's tables, Superset's own database and the journal, while all run.

A backup holds Superset's database, the journal's last days, and the files of a snapshot of each table, which
Cassandra compresses.
"""

import fcntl
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from common.cassandra import KEYSPACE
from common.settings import ROOT
from ops.clients import cassandra_session
from ops.data.archive import (
    JOURNALS,
    SUPERSET_MEMBER,
    TABLES,
    Description,
    backup_file,
    extract,
    write_archive,
)
from ops.data.journals import copy_journals, restore_journals
from ops.errors import MarketError
from ops.install.dependencies import ensure_jars, ensure_java
from ops.lifecycle.services import SERVICES
from ops.lifecycle.supervision import Supervisor
from ops.report import Report
from ops.settings import OpsSettings, cache_folder

HISTORY = "schema_migrations"
OWN = (HISTORY, "schema_progress")  # of the database that is restored into, not of the one that was backed up
PART = ".part"
PREFIX = "backup-"  # of what a backup or restore makes and takes back
NOT_DATA = ("manifest.json", "schema.cql")
# A snapshot links files; an import of the largest table that fits a disk of this kind takes minutes.
NODETOOL_SECONDS = 600  # pragma: no mutate: long enough
# Superset holds its database's lock for the length of one statement.
SQLITE_SECONDS = 60.0  # pragma: no mutate: long enough
# Frames received this long before a backup may not have been in it yet.
OVERLAP = timedelta(minutes=10)


def backup(settings: OpsSettings, target: str, report: Report) -> None:
    """Write a backup to a file that does not exist yet, or for `-` to standard output."""
    version = schema_version(settings)
    created = datetime.now(UTC).replace(microsecond=0)
    tag = f"{PREFIX}{created:%Y%m%dT%H%M%SZ}-{os.getpid()}"
    node = Node(settings, report)
    with output(target) as stream, scratch(settings) as folder:
        for left in {path.name for path in data_folder(settings).glob(f"*/snapshots/{PREFIX}*")}:
            node.run("clearsnapshot", "-t", left, "--", KEYSPACE)
        try:
            node.run("snapshot", "--tag", tag, KEYSPACE)
            members = dict(snapshot_files(data_folder(settings), tag))
            if superset_database(settings).exists():
                members[SUPERSET_MEMBER] = folder / "superset.db"
                copy_database(superset_database(settings), members[SUPERSET_MEMBER])
            since = (created - timedelta(days=settings.backup_journal_days)).timestamp()
            journals = list(copy_journals(settings.market_home / JOURNALS, since, folder))
            members |= {JOURNALS + path.name: path for path in journals}
            sizes = {name: path.stat().st_size for name, path in members.items()}
            description = Description(created, version, sizes)
            write_archive(stream, description, members)
        finally:
            node.run("clearsnapshot", "-t", tag, "--", KEYSPACE)
    backup_file(settings.market_home).touch()
    report(
        f"Backed up {len(description.tables)} tables of Cassandra, {len(journals)} journals"
        + (" and Superset's database" if SUPERSET_MEMBER in members else "")
        + f": {sum(sizes.values()) / 1024**2:,.1f} MB. The passwords are not in it."
    )


def restore(settings: OpsSettings, source: str, report: Report) -> None:
    """Add a backup's rows to the tables, newer ones stay; replace Superset's database by the backup's.

    Everything that can be checked is checked before the first change.
    """
    version = schema_version(settings)
    node = Node(settings, report)
    with scratch(settings) as folder:
        description = extract(source, folder, version)
        check_tables(description.tables, table_names(settings))
        if SUPERSET_MEMBER in description.files:
            check_database(folder / SUPERSET_MEMBER)
        for table in description.tables:
            node.run("import", KEYSPACE, table, str(folder / TABLES / table))
        journals = restore_journals((folder / JOURNALS).glob("*"), settings.market_home / JOURNALS)
        restored = folder / SUPERSET_MEMBER
        if restored.exists():
            superset_database(settings).parent.mkdir(parents=True, exist_ok=True)
            copy_database(restored, superset_database(settings))
            # The next start brings the tables of an older Superset up to date.
            superset_database(settings).with_name("provisioned-version").unlink(missing_ok=True)
    report(
        f"Restored {len(description.tables)} tables of Cassandra and {journals} journals "
        f"as of {description.created:%F %T} UTC."
    )
    if SUPERSET_MEMBER in description.files:
        restart_superset(settings, report)
    start = republish_start(description.created)
    report(
        f"To restore what the journal holds of the time since, run ./market republish --from {start}, and "
        f"when ./market status shows a kafka_lag of 0, ./market rebuild-bars --from {start}"
    )


def republish_start(created: datetime) -> str:
    """Return from when on the journal may hold what a backup does not."""
    return (created - OVERLAP).isoformat(timespec="minutes")


def superset_database(settings: OpsSettings) -> Path:
    """Return where Superset keeps its users and dashboards."""
    return (settings.superset_home or settings.market_home / "data" / "superset") / "superset.db"


def data_folder(settings: OpsSettings) -> Path:
    """Return the folder of the keyspace's tables."""
    return settings.market_home / "data" / "cassandra" / "data" / KEYSPACE


@contextmanager
def scratch(settings: OpsSettings) -> Iterator[Path]:
    """Give a folder on Cassandra's disk, where the server finds what is to be imported.

    One backup or restore runs at a time, and removes what one that was killed has left.
    """
    parent = settings.market_home / "data" / "cassandra"
    if not parent.is_dir():
        raise MarketError(f"There was no data of Cassandra in {settings.market_home}: run ./market up first.")
    lock = os.open(parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MarketError("Another backup or restore was running: wait for its end.") from None
        for left in parent.glob(f"{PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent) as folder:
            yield Path(folder)
    finally:
        os.close(lock)


def schema_version(settings: OpsSettings) -> int:
    """Return the number of the newest step of the schema; raise MarketError when Cassandra does not say."""
    with cassandra_session(settings) as session:
        return int(session.execute(f"SELECT max(version) AS version FROM {HISTORY}").one().version)  # noqa: S608


def table_names(settings: OpsSettings) -> set[str]:
    """Return the names of the keyspace's tables."""
    with cassandra_session(settings) as session:
        return set(session.cluster.metadata.keyspaces[KEYSPACE].tables)


def check_tables(names: Iterable[str], present: Collection[str]) -> None:
    """Expect that every table of a backup is in the schema."""
    unknown = [name for name in names if name not in present or name in OWN]
    if unknown:
        raise MarketError(
            f"The backup held the table {unknown[0]}, unknown to this schema; nothing was restored."
        )


class Node:
    """Cassandra's own tool for the node on this machine."""

    def __init__(self, settings: OpsSettings, report: Report) -> None:
        java = ensure_java(report)
        jars = os.environ.get("MARKET_JARS") or ensure_jars(cache_folder(), java, report)
        self._password = settings.cassandra_admin_password.get_secret_value()
        self._command = [
            str(java / "bin" / "java"),
            f"@{ROOT / 'cassandra' / 'jvm.args'}",
            *("-Xms32m", "-Xmx128m", "-XX:TieredStopAtLevel=1"),
            f"-Dlogback.configurationFile={ROOT / 'cassandra' / 'logback.xml'}",
            *("-cp", f"{Path(jars) / 'cassandra'}/*", "org.apache.cassandra.tools.NodeTool"),
            *("-p", str(settings.cassandra_jmx_port), "-u", "admin"),
        ]

    def run(self, *arguments: str) -> str:
        """Run one of its commands and return its output; raise MarketError with its own words."""
        with tempfile.NamedTemporaryFile("w", prefix="nodetool-") as password:
            password.write(f"admin {self._password}\n")
            password.flush()
            command = [*self._command, "-pwf", password.name, *arguments]
            try:
                result = subprocess.run(
                    command, capture_output=True, text=True, timeout=NODETOOL_SECONDS, check=False
                )
            except subprocess.TimeoutExpired:
                raise MarketError(
                    f"Cassandra's {arguments[0]} took more than {NODETOOL_SECONDS} s; see ./market doctor."
                ) from None
        if result.returncode != 0:
            output = " ".join((result.stderr or result.stdout).split())[:300]
            raise MarketError(f"Cassandra's {arguments[0]} failed: {output}")
        return result.stdout


def snapshot_files(tables: Path, tag: str) -> Iterator[tuple[str, Path]]:
    """Yield a snapshot's files with their names in the backup, sorted."""
    for folder in sorted(tables.glob(f"*/snapshots/{tag}")):
        table = folder.parents[1].name.rpartition("-")[0]
        if table in OWN:
            continue
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name not in NOT_DATA:
                yield f"{TABLES}{table}/{path.relative_to(folder)}", path


def check_database(path: Path) -> None:
    """Expect a whole SQLite database with Superset's table of users."""
    try:
        with closing(sqlite3.connect(path, timeout=SQLITE_SECONDS)) as database:
            [result] = database.execute("PRAGMA quick_check(1)").fetchone()
            database.execute("SELECT count(*) FROM ab_user").fetchone()
    except sqlite3.Error as error:
        result = str(error)
    if result != "ok":
        raise MarketError(f"The backup held no database of Superset ({result}); nothing was restored.")


def copy_database(source: Path, target: Path) -> None:
    """Copy an SQLite database that may be in use over another that may be."""
    try:
        with (
            closing(sqlite3.connect(source, timeout=SQLITE_SECONDS)) as original,
            closing(sqlite3.connect(target, timeout=SQLITE_SECONDS)) as copy,
        ):
            original.backup(copy)
    except sqlite3.Error as error:
        raise MarketError(f"Superset's database could not be copied to {target}: {error}.") from None


@contextmanager
def output(target: str) -> Iterator[IO[bytes]]:
    """Give the stream of a new file, which appears when it is whole, or standard output for `-`."""
    if target == "-":
        with os.fdopen(os.dup(1), "wb") as stream:
            if stream.isatty():
                raise MarketError("A backup is not for a terminal: name a file, or send it to one by >.")
            yield stream
        return
    path = Path(target)
    temporary = path.with_name(f"{path.name}{PART}")
    if path.exists():
        raise MarketError(f"{path} existed already: name another file.")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            yield stream
        temporary.rename(path)
    except OSError as error:
        raise MarketError(f"{path} could not be written: {error.strerror}.") from None
    finally:
        temporary.unlink(missing_ok=True)


def restart_superset(settings: OpsSettings, report: Report) -> None:
    """Let Superset bring its database up to date by a new start, or say who has to start it."""
    supervisor = Supervisor(settings.market_home)
    if supervisor.pid() is None:
        report("Restart Superset, which then brings its restored database up to date.")
        return
    [service] = [service for service in SERVICES if service.name == "superset"]
    supervisor.stop(service.name, service.stop_seconds)
    supervisor.start(service.name)
    report("Superset starts again with its restored database.")
