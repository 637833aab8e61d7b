"""Presto over Cassandra, on a running stack."""

import itertools
import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import prestodb
import pytest
import requests
from prestodb.exceptions import PrestoUserError

from cassandra_schema.retention import days_kept
from cassandra_schema.settings import CassandraSchemaSettings
from common.cassandra import connect
from stack import Stack

SYMBOLS = ("TEST:A", "TEST:B")
DAYS = (date(2001, 2, 3), date(2001, 2, 4), date(2001, 2, 5))
FIRST = time(4, 5, 6, 789000)
ROWS = 7  # in each partition


class Presto:
    """A client that also tells how many rows the connector read."""

    def __init__(self, port: str) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.connection = prestodb.dbapi.connect(
            host="127.0.0.1", port=int(port), user="test", catalog="cassandra", schema="market"
        )

    def query(self, sql: str) -> list[list[Any]]:
        return self.counted(sql)[0]

    def counted(self, sql: str) -> tuple[list[list[Any]], int]:
        cursor = self.connection.cursor()
        cursor.execute(sql)
        rows = cursor.fetchall()
        url = f"{self.address}/v1/query/{cursor.stats['queryId']}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return rows, json.load(answer)["queryStats"]["rawInputPositions"]


@pytest.fixture
def presto(stack: Stack) -> Presto:
    return Presto(stack.settings["PRESTO_PORT"])


@pytest.fixture
def partitions(stack: Stack) -> Iterator[None]:
    """Store some bars and trades of old days in partitions of their own; remove them in the end."""
    settings = CassandraSchemaSettings.load()
    session = connect(settings, "stream_processor", settings.cassandra_stream_processor_password)
    bar = session.prepare("INSERT INTO bars_5s (symbol, day, window_start, close) VALUES (?, ?, ?, ?)")
    trade = session.prepare(
        "INSERT INTO trades (symbol, hour, trade_timestamp, trade_id, price) VALUES (?, ?, ?, ?, ?)"
    )
    for symbol, day, row in itertools.product(SYMBOLS, DAYS, range(ROWS)):
        at = datetime.combine(day, FIRST) + timedelta(seconds=row)
        session.execute(bar, (symbol, day, at, row))
        session.execute(trade, (symbol, at.replace(minute=0, second=0, microsecond=0), at, str(row), row))
    yield
    for symbol, day in itertools.product(SYMBOLS, DAYS):
        session.execute("DELETE FROM bars_5s WHERE symbol = %s AND day = %s", (symbol, day))
        hour = datetime.combine(day, time(FIRST.hour))
        session.execute("DELETE FROM trades WHERE symbol = %s AND hour = %s", (symbol, hour))
    session.cluster.shutdown()


def test_all_tables_are_there(presto: Presto) -> None:
    tables = {row[0] for row in presto.query("show tables")}

    assert tables >= {"symbols", "schema_migrations", *days_kept(CassandraSchemaSettings.load())}


@pytest.mark.parametrize(
    "statement",
    [
        "insert into symbols (bucket, symbol) values ('x', 'y')",
        "delete from symbols where bucket = 'x'",
        "drop table symbols",
        "create table mine as select * from symbols",
        "create schema mine",
    ],
)
def test_nothing_can_be_written(presto: Presto, statement: str) -> None:
    with pytest.raises(PrestoUserError, match="Access Denied"):
        presto.query(statement)


def test_the_server_is_in_utc(presto: Presto) -> None:
    ((local, utc),) = presto.query(
        "select cast(localtimestamp as varchar), cast(current_timestamp as varchar)"
    )

    assert utc == f"{local} UTC"
    assert abs(datetime.fromisoformat(local) - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=1)


@pytest.mark.usefixtures("partitions")
def test_times_and_dates_are_those_that_were_stored(presto: Presto) -> None:
    rows = presto.query(
        "select cast(day as varchar), cast(window_start as varchar), close from bars_5s "
        "where symbol = 'TEST:A' and day = date '2001-02-03' order by window_start limit 1"
    )

    assert rows == [["2001-02-03", "2001-02-03 04:05:06.789", 0.0]]


@pytest.mark.usefixtures("partitions")
@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("symbol = 'TEST:A' and day = date '2001-02-03'", ROWS),
        ("symbol = 'TEST:A' and day in (date '2001-02-03', date '2001-02-04')", 2 * ROWS),
        (
            "symbol in ('TEST:A', 'TEST:B') and day in (date '2001-02-03', date '2001-02-05')",
            4 * ROWS,
        ),
        ("symbol = 'TEST:A' and day = date '2001-02-06'", 0),
        (
            "symbol = 'TEST:A' and day = date '2001-02-03' "
            "and window_start >= timestamp '2001-02-03 04:05:10.000'",
            3,
        ),
    ],
)
def test_only_the_partitions_of_the_days_asked_for_are_read(presto: Presto, where: str, found: int) -> None:
    rows, positions = presto.counted(f"select close from bars_5s where {where}")

    assert (len(rows), positions) == (found, found)


@pytest.mark.usefixtures("partitions")
@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("symbol = 'TEST:A' and hour = timestamp '2001-02-03 04:00:00'", ROWS),
        (
            "symbol in ('TEST:A', 'TEST:B') and "
            "hour in (timestamp '2001-02-03 04:00:00', timestamp '2001-02-04 04:00:00')",
            4 * ROWS,
        ),
    ],
)
def test_only_the_partitions_of_the_hours_asked_for_are_read(presto: Presto, where: str, found: int) -> None:
    rows, positions = presto.counted(f"select price from trades where {where}")

    assert (len(rows), positions) == (found, found)


WORKER = {
    "environment": "market",
    "pool": "general",
    "location": "/stranger",
    "services": [
        {
            "id": "6ad5dcb0-8d4a-4f5a-9f6e-000000000001",
            "type": "presto",
            "properties": {"node_version": "0.287", "coordinator": "false", "http": "http://127.0.0.1:1"},
        }
    ],
}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/announcement/stranger"),
        ("DELETE", "/v1/announcement/market-1"),
        ("POST", "/v1/store/dynamic"),
        ("POST", "/v1/task/20010203_000000_00000_abcde.0.0.0.0"),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"X-Presto-Internal-Bearer": "not.a.token"}], ids=["none", "wrong"])
def test_nobody_else_can_announce_a_worker_or_give_one_tasks(
    presto: Presto, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = requests.request(method, presto.address + path, json=WORKER, headers=headers, timeout=30)
    assert answer.status_code == 401
    known = requests.get(f"{presto.address}/v1/service/presto", timeout=30).json()["services"]
    assert [worker["nodeId"] for worker in known] == ["market-1"]


def test_presto_logs_no_requests_and_writes_to_its_home_only(stack: Stack, presto: Presto) -> None:
    """As below /tmp, what one user's Presto makes would be in the way of another's."""
    assert presto.query("select 1") == [[1]]
    assert list(stack.home.rglob("http-request.log*")) == []
    assert (stack.home / "tmp" / "presto" / "temp_storage").is_dir()
