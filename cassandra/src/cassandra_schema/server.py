"""Bring a running Cassandra to what `migrations`, `roles` and the settings say."""

import socket
import time
from collections import defaultdict

from cassandra import AuthenticationFailed
from cassandra.cluster import NoHostAvailable, Session
from pydantic import SecretStr

from cassandra_schema.migrations import Migration, SchemaError, pending
from cassandra_schema.retention import TableOptions, days_kept, options
from cassandra_schema.roles import ROLES, Grants, grant_statements, passwords
from cassandra_schema.settings import CassandraSchemaSettings
from common.cassandra import DATACENTER, KEYSPACE, connect

START_SECONDS = 180.0
REFUSED_SECONDS = 20.0
POLL_SECONDS = 0.1

CREATE_HISTORY = """CREATE TABLE IF NOT EXISTS schema_migrations
    (version int PRIMARY KEY, name text, checksum text, applied_at timestamp)"""
# How far a step has come that did not come to its end.
CREATE_PROGRESS = """CREATE TABLE IF NOT EXISTS schema_progress
    (version int PRIMARY KEY, checksum text, statements int)"""


def prepare(settings: CassandraSchemaSettings, migrations: list[Migration]) -> list[str]:
    """Wait for the server, then bring schema, retention and roles up to date; return what was changed.

    Raises SchemaError.
    """
    session = log_in(settings)
    try:
        done = [*set_replication(session, settings.cassandra_replication)]
        session.set_keyspace(KEYSPACE)
        done += apply(session, migrations)
        done += set_retention(session, settings)
        done += set_roles(session, settings)
    finally:
        session.cluster.shutdown()
    return done


def log_in(settings: CassandraSchemaSettings) -> Session:
    """Return a session of the role `admin`, which is made first where the server is new.

    Raises SchemaError when the server does not answer or refuses the login.
    """
    address = f"{settings.cassandra_host}:{settings.cassandra_port}"
    deadline = time.monotonic() + START_SECONDS
    refused_at: float | None = None
    while time.monotonic() < deadline:
        try:
            socket.create_connection((settings.cassandra_host, settings.cassandra_port), timeout=1).close()
            return _admin(settings)
        except OSError:
            pass
        except NoHostAvailable as error:
            if any(isinstance(cause, AuthenticationFailed) for cause in error.errors.values()):
                refused_at = refused_at or time.monotonic()
        if refused_at is not None and time.monotonic() - refused_at > REFUSED_SECONDS:
            raise SchemaError(
                "Cassandra refused the admin's password: its data was made with another secrets.env; "
                "bring that file back, or remove the data."
            )
        time.sleep(POLL_SECONDS)
    raise SchemaError(f"Cassandra did not answer at {address} within {START_SECONDS:.0f} s.")


def _admin(settings: CassandraSchemaSettings) -> Session:
    try:
        session = connect(settings, "admin", settings.cassandra_admin_password, keyspace=None)
    except NoHostAvailable as refused:
        try:
            session = _begin_admin(settings)
        except NoHostAvailable:
            raise refused from None
    default = session.execute("SELECT can_login FROM system_auth.roles WHERE role = 'cassandra'").one()
    if default is not None and default.can_login:
        session.execute("ALTER ROLE cassandra WITH LOGIN = false AND SUPERUSER = false")
    return session


def _begin_admin(settings: CassandraSchemaSettings) -> Session:
    """Give the admin its password, by the one before or as a new server lets in, and return its session."""
    new, before = settings.cassandra_admin_password, settings.cassandra_admin_password_before
    if before:
        session = connect(settings, "admin", before, keyspace=None)
        # Nobody may say of himself whether he is a superuser.
        _set_role(session, "admin", new, superuser=None)
        return session
    first = connect(settings, "cassandra", SecretStr("cassandra"), keyspace=None)
    try:
        _set_role(first, "admin", new, superuser=True)
    finally:
        first.cluster.shutdown()
    return connect(settings, "admin", new, keyspace=None)


def _set_role(session: Session, role: str, password: SecretStr, superuser: bool | None = False) -> None:
    """Create a role that can log in, or give an existing one its password again; None leaves the rest."""
    exists = session.execute("SELECT role FROM system_auth.roles WHERE role = %s", (role,)).one() is not None
    session.execute(
        f"{'ALTER' if exists else 'CREATE'} ROLE {role} WITH PASSWORD = '{password.get_secret_value()}'"
        + ("" if superuser is None else f" AND LOGIN = true AND SUPERUSER = {superuser}")
    )


def set_replication(session: Session, replicas: int) -> list[str]:
    """Store the keyspace and the logins as often as the settings say; return what was changed."""
    wanted = (
        {"class": "SimpleStrategy", "replication_factor": "1"}
        if replicas == 1
        else {"class": "NetworkTopologyStrategy", DATACENTER: str(replicas)}
    )
    rows = session.execute("SELECT keyspace_name, replication FROM system_schema.keyspaces")
    present = {row.keyspace_name: dict(row.replication) for row in rows}
    done = []
    for keyspace in (KEYSPACE, "system_auth"):
        found = present.get(keyspace)
        if found is not None and {**found, "class": found["class"].rpartition(".")[2]} == wanted:
            continue
        action = "CREATE" if found is None else "ALTER"
        session.execute(f"{action} KEYSPACE {keyspace} WITH replication = {wanted}")
        done.append(f"keyspace {keyspace}: {wanted}")
    return done


def apply(session: Session, migrations: list[Migration]) -> list[str]:
    """Apply the steps that were not applied yet, in order; return their names.

    One that was interrupted goes on behind its last statement that was applied.
    """
    session.execute(CREATE_HISTORY)
    session.execute(CREATE_PROGRESS)
    rows = session.execute("SELECT version, checksum FROM schema_migrations")
    todo = pending(migrations, {row.version: row.checksum for row in rows})
    for migration in todo:
        begun = session.execute(
            "SELECT checksum, statements FROM schema_progress WHERE version = %s", (migration.version,)
        ).one()
        done = begun.statements if begun is not None and begun.checksum == migration.checksum else 0
        for number, statement in enumerate(migration.statements[done:], start=done + 1):
            session.execute(statement, timeout=START_SECONDS)
            session.execute(
                "INSERT INTO schema_progress (version, checksum, statements) VALUES (%s, %s, %s)",
                (migration.version, migration.checksum, number),
            )
        session.execute(
            "INSERT INTO schema_migrations (version, name, checksum, applied_at) "
            "VALUES (%s, %s, %s, toTimestamp(now()))",
            (migration.version, migration.name, migration.checksum),
        )
        session.execute("DELETE FROM schema_progress WHERE version = %s", (migration.version,))
    return [f"applied {migration.version:03d}_{migration.name}" for migration in todo]


def current_version(session: Session) -> int:
    """Return the number of the last step applied, 0 where there was none."""
    return session.execute("SELECT max(version) AS version FROM schema_migrations").one().version or 0


def set_retention(session: Session, settings: CassandraSchemaSettings) -> list[str]:
    """Set how long the tables keep new rows, where that differs; return what was changed."""
    rows = session.execute(
        "SELECT table_name, default_time_to_live, gc_grace_seconds, compaction "
        "FROM system_schema.tables WHERE keyspace_name = %s",
        (KEYSPACE,),
    )
    present = {
        row.table_name: TableOptions(row.default_time_to_live, row.gc_grace_seconds, dict(row.compaction))
        for row in rows
    }
    done = []
    for table, days in days_kept(settings).items():
        wanted = options(days, present[table].compaction)
        if wanted != present[table]:
            session.execute(f"ALTER TABLE {table} WITH {wanted.cql}")
            done.append(f"{table} keeps rows for {days} days" if days else f"{table} keeps rows for ever")
    return done


def set_roles(session: Session, settings: CassandraSchemaSettings) -> list[str]:
    """Give every client's role its password and exactly its permissions; return the permissions changed."""
    present: defaultdict[str, Grants] = defaultdict(dict)
    for row in session.execute("SELECT role, resource, permissions FROM system_auth.role_permissions"):
        present[row.role][row.resource] = set(row.permissions)
    done = []
    for role, password in passwords(settings).items():
        _set_role(session, role, password)
        statements = grant_statements(role, ROLES[role], present[role])
        for statement in statements:
            session.execute(statement)
        done += statements
    return done
