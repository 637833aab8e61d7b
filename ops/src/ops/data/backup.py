"""Backup and restore of Cassandra's tables and of Superset's own database, while both run.

A backup is one tar file: a description that names every file in it, Superset's database, and the files of a
snapshot of each table. Cassandra compresses them already.
"""

import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, NamedTuple

from cassandra import DriverException
from cassandra.cluster import NoHostAvailable

from common.cassandra import KEYSPACE, connect
from common.settings import ROOT
from ops.errors import MarketError
from ops.install.dependencies import ensure_jars, ensure_java
from ops.lifecycle.supervision import Supervisor
from ops.settings import OpsSettings, cache_folder

Report = Callable[[str], None]

FORMAT = 1
DESCRIPTION = "market-backup.json"
SUPERSET_MEMBER = "superset/superset.db"
TABLES = "cassandra/"
HISTORY = "schema_migrations"  # of the database that is restored into, not of the one that was backed up
MEMBER = re.compile(r"superset/superset\.db|cassandra/\w+(/(?!\.)[\w.+-]+)+")
NOT_DATA = ("manifest.json", "schema.cql")
NODETOOL_SECONDS = 600
SQLITE_SECONDS = 60.0
# Frames received this long before a backup may not have been in it yet.
OVERLAP = timedelta(minutes=10)


class Description(NamedTuple):
    """What a backup says of itself; `files` are the sizes in bytes of all others by their names."""

    created: datetime
    schema_version: int
    files: dict[str, int]

    @property
    def text(self) -> str:
        """Return it as it stands in the backup."""
        return json.dumps(
            {
                "format": FORMAT,
                "created": self.created.isoformat(),
                "schema_version": self.schema_version,
                "files": self.files,
            },
            indent=1,
        )

    @property
    def tables(self) -> list[str]:
        """Return the names of the tables."""
        return sorted({name.split("/")[1] for name in self.files if name.startswith(TABLES)})


def read_description(text: bytes) -> Description:
    """Return what a backup says of itself; raise MarketError when it is none that this code knows."""
    try:
        found = json.loads(text)
        description = Description(
            datetime.fromisoformat(found["created"]),
            int(found["schema_version"]),
            {str(name): int(size) for name, size in found["files"].items()},
        )
        known = found["format"] == FORMAT and all(map(MEMBER.fullmatch, description.files))
    except (ValueError, KeyError, TypeError, AttributeError):
        known = False
    if not known:
        raise MarketError("The file was not a backup that this version of ./market made.")
    return description


def backup(settings: OpsSettings, target: str, report: Report) -> None:
    """Write a backup to a file that does not exist yet, or for `-` to standard output."""
    version = schema_version(settings)
    created = datetime.now(UTC).replace(microsecond=0)
    tag = f"backup-{created:%Y%m%dT%H%M%SZ}-{os.getpid()}"
    node = Node(settings, report)
    with output(target) as stream, scratch(settings) as folder:
        node.run("snapshot", "--tag", tag, KEYSPACE)
        try:
            members = dict(snapshot_files(data_folder(settings), tag))
            if superset_database(settings).exists():
                members[SUPERSET_MEMBER] = folder / "superset.db"
                copy_database(superset_database(settings), members[SUPERSET_MEMBER])
            sizes = {name: path.stat().st_size for name, path in members.items()}
            description = Description(created, version, sizes)
            write_archive(stream, description, members)
        finally:
            node.run("clearsnapshot", "-t", tag, "--", KEYSPACE)
    report(
        f"Backed up {len(description.tables)} tables of Cassandra"
        + (" and Superset's database" if SUPERSET_MEMBER in members else "")
        + f": {sum(sizes.values()) / 1024**2:,.1f} MB. The passwords are not in it."
    )


def restore(settings: OpsSettings, source: str, report: Report) -> None:
    """Add a backup's rows to the tables, newer ones stay; replace Superset's database by the backup's."""
    version = schema_version(settings)
    node = Node(settings, report)
    with scratch(settings) as folder:
        description = extract(source, folder, version)
        for table in description.tables:
            node.run("import", KEYSPACE, table, str(folder / TABLES / table))
        restored = folder / SUPERSET_MEMBER
        if restored.exists():
            superset_database(settings).parent.mkdir(parents=True, exist_ok=True)
            copy_database(restored, superset_database(settings))
            # The next start brings the tables of an older Superset up to date.
            superset_database(settings).with_name("provisioned-version").unlink(missing_ok=True)
    report(f"Restored {len(description.tables)} tables of Cassandra as of {description.created:%F %T} UTC.")
    if SUPERSET_MEMBER in description.files:
        restart_superset(settings, report)
    since = (description.created - OVERLAP).isoformat(timespec="minutes")
    report(f"What the journal holds of the time since comes back by ./market republish --from {since}")


def superset_database(settings: OpsSettings) -> Path:
    """Return where Superset keeps its users and dashboards."""
    return (settings.superset_home or settings.market_home / "data" / "superset") / "superset.db"


def data_folder(settings: OpsSettings) -> Path:
    """Return the folder of the keyspace's tables."""
    return settings.market_home / "data" / "cassandra" / "data" / KEYSPACE


@contextmanager
def scratch(settings: OpsSettings) -> Iterator[Path]:
    """Give a folder on Cassandra's disk, where the server finds what is to be imported."""
    parent = settings.market_home / "data" / "cassandra"
    if not parent.is_dir():
        raise MarketError(f"There was no data of Cassandra in {settings.market_home}: run ./market up first.")
    with tempfile.TemporaryDirectory(prefix="backup-", dir=parent) as folder:
        yield Path(folder)


def schema_version(settings: OpsSettings) -> int:
    """Return the number of the newest step of the schema; raise MarketError when Cassandra is away."""
    try:
        session = connect(settings, "ops", settings.cassandra_ops_password)
        try:
            return int(session.execute(f"SELECT max(version) AS version FROM {HISTORY}").one().version)  # noqa: S608
        finally:
            session.cluster.shutdown()
    except (NoHostAvailable, DriverException):
        raise MarketError(
            f"Cassandra did not answer at {settings.cassandra_host}:{settings.cassandra_port}; "
            "start the stack with ./market up."
        ) from None


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
        """Run one of its commands and return what it printed; raise MarketError with its own words."""
        with tempfile.NamedTemporaryFile("w", prefix="nodetool-") as password:
            password.write(f"admin {self._password}\n")
            password.flush()
            command = [*self._command, "-pwf", password.name, *arguments]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=NODETOOL_SECONDS, check=False
                )
            except subprocess.TimeoutExpired:
                raise MarketError(
                    f"Cassandra's {arguments[0]} took more than {NODETOOL_SECONDS} s; see ./market doctor."
                ) from None
        if done.returncode != 0:
            said = " ".join((done.stderr or done.stdout).split())[:300]
            raise MarketError(f"Cassandra's {arguments[0]} failed: {said}")
        return done.stdout


def snapshot_files(tables: Path, tag: str) -> Iterator[tuple[str, Path]]:
    """Yield a snapshot's files with their names in the backup, sorted."""
    for folder in sorted(tables.glob(f"*/snapshots/{tag}")):
        table = folder.parents[1].name.rpartition("-")[0]
        if table == HISTORY:
            continue
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name not in NOT_DATA:
                yield f"{TABLES}{table}/{path.relative_to(folder)}", path


def copy_database(source: Path, target: Path) -> None:
    """Copy an SQLite database that may be in use over another that may be."""
    try:
        with (
            closing(sqlite3.connect(source, timeout=SQLITE_SECONDS)) as old,
            closing(sqlite3.connect(target, timeout=SQLITE_SECONDS)) as new,
        ):
            old.backup(new)
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
    draft = path.with_name(f"{path.name}.part")
    if path.exists():
        raise MarketError(f"{path} existed already: name another file.")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            yield stream
        draft.rename(path)
    except OSError as error:
        raise MarketError(f"{path} could not be written: {error.strerror}.") from None
    finally:
        draft.unlink(missing_ok=True)


def write_archive(stream: IO[bytes], description: Description, members: dict[str, Path]) -> None:
    """Write the description, then the files that it names."""
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        text = description.text.encode()
        first = tarfile.TarInfo(DESCRIPTION)
        first.size, first.mtime = len(text), int(description.created.timestamp())
        archive.addfile(first, io.BytesIO(text))
        for name, path in members.items():
            archive.add(path, name, recursive=False)


def extract(source: str, folder: Path, version: int) -> Description:
    """Unpack a backup and return its description; raise MarketError unless it is whole and not too new."""
    name = "Standard input" if source == "-" else source
    if source == "-" and os.isatty(0):
        raise MarketError("A backup does not come from a terminal: name its file, or send it by <.")
    try:
        with (
            os.fdopen(os.dup(0), "rb") if source == "-" else Path(source).open("rb") as stream,
            tarfile.open(fileobj=stream, mode="r|") as archive,
        ):
            description = describe(archive.next(), archive)
            if description.schema_version > version:
                raise MarketError(
                    f"{name} was made at schema version {description.schema_version}, newer than this code's "
                    f"{version}: run the newer code first."
                )
            check_space(folder, sum(description.files.values()))
            for member in archive:
                content = archive.extractfile(member) if member.name in description.files else None
                if content is not None:
                    path = folder / member.name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with path.open("wb") as file:
                        shutil.copyfileobj(content, file)
    except tarfile.TarError:
        raise MarketError(f"{name} was not a backup, or not a whole one.") from None
    except FileNotFoundError:
        raise MarketError(f"There was no file {name}.") from None
    except OSError as error:
        raise MarketError(f"{name} could not be unpacked: {error.strerror}.") from None
    missing = list(not_whole(folder, description.files.items()))
    if missing:
        raise MarketError(f"{name} was not whole: {missing[0]} was missing or cut short.")
    return description


def describe(first: tarfile.TarInfo | None, archive: tarfile.TarFile) -> Description:
    """Read the description, which has to be the first in a backup."""
    content = archive.extractfile(first) if first is not None and first.name == DESCRIPTION else None
    if content is None:
        raise tarfile.TarError
    return read_description(content.read())


def check_space(folder: Path, size: int) -> None:
    """Expect space for the unpacked files."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise MarketError(
            f"The backup needed {size / 1024**3:.1f} GB, and {free / 1024**3:.1f} GB of disk were free: "
            "free some disk space."
        )


def not_whole(folder: Path, files: Iterable[tuple[str, int]]) -> Iterator[str]:
    """Yield the names of files that are not there with their size."""
    for name, size in files:
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            yield name


def restart_superset(settings: OpsSettings, report: Report) -> None:
    """Let Superset bring its database up to date by a new start, or say who has to start it."""
    supervisor = Supervisor(settings.market_home)
    if supervisor.pid() is None:
        report("Restart Superset, which then brings its restored database up to date.")
        return
    supervisor.stop("superset")
    supervisor.start("superset")
    report("Superset starts anew with its restored database.")
