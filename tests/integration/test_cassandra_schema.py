"""Cassandra's schema and the rights of its roles, on a running stack."""

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
from cassandra import AuthenticationFailed, InvalidRequest, Unauthorized
from cassandra.cluster import NoHostAvailable, Session
from pydantic import SecretStr

from cassandra_schema.migrations import Migration, read_migrations
from cassandra_schema.retention import days_kept
from cassandra_schema.roles import ROLES, passwords
from cassandra_schema.server import apply, current_version, log_in, prepare
from cassandra_schema.settings import CassandraSchemaSettings
from common.cassandra import connect
from stack import Stack

NOWHERE = "'nobody'"
WRITES = {
    "symbols": f"INSERT INTO symbols (bucket, symbol) VALUES ({NOWHERE}, 'X')",
    "trades": f"DELETE FROM trades WHERE symbol = {NOWHERE} AND hour = 0",
    "bars_5s": f"DELETE FROM bars_5s WHERE symbol = {NOWHERE} AND day = '1970-01-01'",
    "gbm_scores": f"DELETE FROM gbm_scores WHERE symbol = {NOWHERE} AND day = '1970-01-01'",
}
STREAM_WRITES = {"symbols", "trades", "bars_5s"}
MAY_WRITE = {"stream_processor": STREAM_WRITES, "gbm_analysis": {"gbm_scores"}}


@pytest.fixture(scope="module", autouse=True)
def _quiet_driver() -> None:
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)


@pytest.fixture
def settings(stack: Stack) -> CassandraSchemaSettings:
    return CassandraSchemaSettings.load()


@pytest.fixture(params=ROLES)
def role(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def session(settings: CassandraSchemaSettings, role: str) -> Iterator[Session]:
    session = connect(settings, role, passwords(settings)[role])
    yield session
    session.cluster.shutdown()


def assert_refused(settings: CassandraSchemaSettings, role: str, password: str) -> None:
    with pytest.raises(NoHostAvailable) as refused:
        connect(settings, role, SecretStr(password))
    assert [type(error) for error in refused.value.errors.values()] == [AuthenticationFailed]


def test_a_wrong_password_is_refused(settings: CassandraSchemaSettings, role: str) -> None:
    assert_refused(settings, role, "wrong")


def test_the_default_login_is_refused(settings: CassandraSchemaSettings) -> None:
    assert_refused(settings, "cassandra", "cassandra")


@pytest.mark.parametrize("table", WRITES)
def test_a_role_writes_its_own_tables_only(session: Session, role: str, table: str) -> None:
    if table in MAY_WRITE.get(role, ()):
        session.execute(WRITES[table])
        if table == "symbols":
            session.execute(f"DELETE FROM symbols WHERE bucket = {NOWHERE}")
    else:
        with pytest.raises(Unauthorized):
            session.execute(WRITES[table])


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (a int PRIMARY KEY)",
        "ALTER TABLE trades WITH default_time_to_live = 1",
        "TRUNCATE gbm_parameters",
        "DROP TABLE gbm_parameters",
        "CREATE ROLE mine WITH PASSWORD = 'x' AND LOGIN = true",
        "GRANT MODIFY ON KEYSPACE market TO presto",
        "SELECT salted_hash FROM system_auth.roles",
    ],
)
def test_no_role_may_more(session: Session, role: str, statement: str) -> None:
    if role == "gbm_analysis" and statement.startswith("TRUNCATE"):
        pytest.skip("who writes a table may empty it")
    with pytest.raises(Unauthorized):
        session.execute(statement)


def test_preparing_again_changes_nothing(settings: CassandraSchemaSettings) -> None:
    assert prepare(settings, read_migrations()) == []


def test_every_step_is_recorded_once(settings: CassandraSchemaSettings) -> None:
    session = connect(settings, "ops", settings.cassandra_ops_password)
    try:
        rows = list(session.execute("SELECT version, name, checksum FROM schema_migrations"))
        assert current_version(session) == len(read_migrations())
    finally:
        session.cluster.shutdown()

    assert sorted((row.version, row.name, row.checksum) for row in rows) == [
        (migration.version, migration.name, migration.checksum) for migration in read_migrations()
    ]


def test_a_step_that_was_interrupted_goes_on_behind_its_last_statement(
    settings: CassandraSchemaSettings,
) -> None:
    step = Migration(
        1, "one", "CREATE TABLE first (k int PRIMARY KEY);\nALTER TABLE first ADD v int;\nDROP TABLE later;\n"
    )
    session = connect(settings, "admin", settings.cassandra_admin_password, keyspace=None)
    replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    try:
        session.execute(f"CREATE KEYSPACE interrupted WITH replication = {replication}")
        session.set_keyspace("interrupted")
        with pytest.raises(InvalidRequest, match="later"):
            apply(session, [step])
        assert current_version(session) == 0
        session.execute("CREATE TABLE later (k int PRIMARY KEY)")
        assert apply(session, [step]) == ["applied 001_one"]
        assert current_version(session) == 1
        assert apply(session, [step]) == list(session.execute("SELECT * FROM schema_progress")) == []
    finally:
        session.execute("DROP KEYSPACE IF EXISTS interrupted")
        session.cluster.shutdown()


def test_tables_keep_rows_as_long_as_the_settings_say(settings: CassandraSchemaSettings) -> None:
    session = connect(settings, "ops", settings.cassandra_ops_password)
    try:
        rows = session.execute(
            "SELECT table_name, default_time_to_live FROM system_schema.tables WHERE keyspace_name = 'market'"
        )
        found = {row.table_name: row.default_time_to_live for row in rows}
    finally:
        session.cluster.shutdown()

    assert {table: found[table] for table in days_kept(settings)} == {
        table: days * 24 * 3600 for table, days in days_kept(settings).items()
    }


def test_the_check_says_where_the_schema_is(stack: Stack) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cassandra_schema", "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    newest = read_migrations()[-1].version
    assert (done.returncode, done.stdout) == (0, f"The schema was at version {newest} of {newest}.\n")


def test_a_new_password_of_the_admin_is_set_by_the_one_before(settings: CassandraSchemaSettings) -> None:
    old, new = settings.cassandra_admin_password, SecretStr("of0the0next")
    for password, before in ((new, old), (old, new)):
        changed = settings.model_copy(
            update={"cassandra_admin_password": password, "cassandra_admin_password_before": before}
        )
        # The second time it is there already, as for who was interrupted.
        for _ in range(2):
            log_in(changed).cluster.shutdown()
        log_in(changed.model_copy(update={"cassandra_admin_password_before": None})).cluster.shutdown()
