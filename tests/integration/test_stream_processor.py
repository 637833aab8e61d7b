"""The stream processor on real servers: metrics, lost checkpoints, missing rights and rebuilt bars."""

import io
import json
import os
import shutil
import signal
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import polars as pl
import pytest
from cassandra.cluster import Session
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

import oracle
from common.cassandra import connect
from common.kafka import client_config
from common.recording import Frame, encode
from common.schemas import events_schema
from common.settings import CassandraSettings, KafkaSettings
from stack import Stack, wait_until
from tables import check, milliseconds

START_MS = 1_600_000_000_000 // 3_600_000 * 3_600_000
SYMBOLS = ("AGAIN:A", "AGAIN:B")
TRADES = 4_000
EVERY_MS = 1_500  # so that they are in two hours
PREFIX = "market_stream_processor_"

pytestmark = pytest.mark.timeout(900)

Rows = dict[str, list[Any]]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recording of two symbols whose trades come in groups, some of them late."""
    path = tmp_path_factory.mktemp("recording") / "again.jsonl"
    lines = []
    for group in range(TRADES // 8):
        late_ms = 60_000 if group % 10 == 9 else 0
        trades = [
            {
                "c": [["1"], ["1", "12"], None][number % 3],
                "p": 10 + number * 7919 % 1009 / 100,
                "s": SYMBOLS[number % 2],
                "t": START_MS + number * EVERY_MS - late_ms,
                "v": number % 7,
            }
            for number in range(group * 8, group * 8 + 8)
        ]
        lines.append(encode(Frame(START_MS + 86_400_000, json.dumps({"data": trades, "type": "trade"}))))
    path.write_bytes(b"".join(lines))
    return path


@pytest.fixture(scope="module")
def trades(recording: Path) -> pl.DataFrame:
    """Return the recording's trades."""
    return oracle.trades(recording)


@pytest.fixture(scope="module")
def replayed(shared_stack: Stack, recording: Path, trades: pl.DataFrame) -> Stack:
    """Return a stack that holds the recording once."""
    shared_stack.ensure("none")
    figures = shared_stack.replay(recording)
    assert (figures["stored"], figures["dead_lettered"]) == (TRADES, 0)
    check(shared_stack, trades)
    return shared_stack


@pytest.fixture
def admin(replayed: Stack) -> Iterator[Session]:
    """Log in to Cassandra as the role that may do everything."""
    settings = CassandraSettings(cassandra_port=int(replayed.settings["CASSANDRA_PORT"]))
    session = connect(settings, "admin", SecretStr(replayed.secrets()["CASSANDRA_ADMIN_PASSWORD"]))
    yield session
    session.cluster.shutdown()


def metrics(stack: Stack) -> dict[tuple[str, ...], float]:
    """Return the samples by name and labels; none while nothing answers."""
    url = f"http://127.0.0.1:{stack.settings['STREAM_PROCESSOR_METRICS_PORT']}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    return {
        (
            sample.name.removeprefix(PREFIX),
            *(value for _, value in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def rows(session: Session) -> Rows:
    """Return every row of the recording's symbols that the stream processor wrote."""
    keys = {"trades": "hour", "bars_5s": "day", "running_averages_15s": "day"}
    found: Rows = {}
    for table, key in keys.items():
        partitions = session.execute(f"SELECT DISTINCT symbol, {key} FROM {table}").all()
        found[table] = [
            row
            for partition in sorted(partitions)
            if partition.symbol in SYMBOLS
            for row in session.execute(f"SELECT * FROM {table} WHERE symbol = %s AND {key} = %s", partition)
        ]
    found["symbols"] = session.execute("SELECT * FROM symbols WHERE bucket = 'all'").all()
    return found


def assert_same(found: Rows, expected: Rows) -> None:
    """Compare rows; Spark adds numbers up in any order, which may change a sum's last digit."""
    assert {table: len(rows) for table, rows in found.items()} == {
        table: len(rows) for table, rows in expected.items()
    }
    for table, expected_rows in expected.items():
        for row, other in zip(found[table], expected_rows, strict=True):
            for value, wanted in zip(row, other, strict=True):
                assert value == (pytest.approx(wanted, rel=1e-9) if isinstance(wanted, float) else wanted)


def log_of(stack: Stack) -> str:
    return (stack.home / "logs" / "stream-processor.log").read_text()


def test_the_metrics_say_what_was_done(replayed: Stack, trades: pl.DataFrame) -> None:
    found = wait_until(
        lambda: (now := metrics(replayed)).get(("lag_messages", "0", "bars")) == 0 and now, "the metrics"
    )
    status = replayed.status()["pipeline"]
    assert found["trades_stored_total",] == status["trades_stored"] >= TRADES
    assert found["bars_written_total",] >= oracle.bars(trades).height
    assert found["late_total",] == status["late"]
    assert found["receipt_to_stored_seconds_count",] == pytest.approx(found["trades_stored_total",])
    lags = {key[1:]: lag for key, lag in found.items() if key[0] == "lag_messages"}
    assert lags == {
        **{(str(partition), query): 0 for query in ("trades", "bars") for partition in range(3)},
        ("0", "events"): 0,
    }
    for query in ("trades", "bars"):
        assert found["batch_seconds_count", query] > 0
        assert found["last_batch_timestamp_seconds", query] <= datetime.now(UTC).timestamp()
    url = f"http://127.0.0.1:{replayed.settings['STREAM_PROCESSOR_METRICS_PORT']}/health"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"ok"


def lose_bars(checkpoints: Path) -> None:
    """Remove the checkpoint of the bars only."""
    shutil.rmtree(checkpoints / "bars")


def empty_newest(checkpoints: Path) -> None:
    """Do to a checkpoint what a power cut may do."""
    offsets = checkpoints / "trades" / "offsets"
    newest = offsets / str(max(int(path.name) for path in offsets.iterdir() if path.name.isdecimal()))
    newest.write_text("")
    newest.with_name(f".{newest.name}.crc").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        (shutil.rmtree, ("trades", "bars")),
        (lose_bars, ("bars",)),
        (empty_newest, ("trades",)),
    ],
)
def test_a_lost_checkpoint_is_made_anew_without_changing_a_row(
    replayed: Stack, admin: Session, change: Callable[[Path], None], lost: tuple[str, ...]
) -> None:
    before, said = rows(admin), len(log_of(replayed))
    pid = int(replayed.status()["services"]["stream-processor"]["pid"])
    os.kill(pid, signal.SIGSTOP)  # so that it neither writes nor is started anew before the change
    change(replayed.home / "data" / "stream-processor" / "checkpoints")
    os.kill(pid, signal.SIGKILL)

    def read_again() -> bool:
        found = metrics(replayed)
        lags = [lag for (name, *_), lag in found.items() if name == "lag_messages"]
        done = {
            "trades": found.get(("trades_stored_total",), 0) >= TRADES,
            "bars": found.get(("bars_written_total",), 0) >= 1,
        }
        return bool(lags) and not any(lags) and all(done.get(query, True) for query in lost)

    wait_until(read_again, "everything read again", 240)
    assert_same(rows(admin), before)
    for query in ("trades", "bars"):
        sentence = f"The checkpoint of the query {query} was missing or damaged"
        assert (sentence in log_of(replayed)[said:]) == (query in lost)


def test_bars_are_rebuilt_from_stored_trades(replayed: Stack, admin: Session, trades: pl.DataFrame) -> None:
    """Damage every bar, then rebuild one symbol, a span of the other one, and the rest."""
    expected = oracle.bars(trades)
    first, second = SYMBOLS
    days = [datetime.fromtimestamp(START_MS / 1000, UTC).date()]
    starts = expected["window_start"].unique().sort().to_list()
    for symbol in SYMBOLS:
        for table in ("bars_5s", "running_averages_15s"):
            admin.execute(f"DELETE FROM {table} WHERE symbol = %s AND day = %s", (symbol, days[0]))
    wrong = admin.prepare("INSERT INTO bars_5s (symbol, day, window_start, open) VALUES (?, ?, ?, -1)")
    for start in starts:
        admin.execute(wrong, (first, days[0], datetime.fromtimestamp(start / 1000, UTC)))

    done = replayed.market("rebuild-bars", "--symbol", first)
    assert f"{expected.filter(pl.col('symbol') == first).height:,} bars were written again" in done.stdout
    check(replayed, trades.filter(pl.col("symbol") == first))
    assert not admin.execute("SELECT * FROM bars_5s WHERE symbol = %s AND day = %s", (second, days[0])).all()

    middle = starts[len(starts) // 2]
    at = datetime.fromtimestamp(middle / 1000, UTC).isoformat()
    replayed.market("rebuild-bars", "--symbol", second, "--from", at)
    found = admin.execute(
        "SELECT window_start FROM bars_5s WHERE symbol = %s AND day = %s", (second, days[0])
    )
    later = expected.filter((pl.col("symbol") == second) & (pl.col("window_start") >= middle))
    assert [milliseconds(row.window_start) for row in found] == later["window_start"].to_list()
    replayed.market("rebuild-bars", "--to", at)
    check(replayed, trades)


def test_a_bar_whose_trades_have_expired_in_part_stays(
    replayed: Stack, admin: Session, trades: pl.DataFrame
) -> None:
    expected = oracle.bars(trades).filter(pl.col("symbol") == SYMBOLS[0])
    start = expected.filter(pl.col("trade_count") > 1)["window_start"][0]
    hour = datetime.fromtimestamp(start // 3_600_000 * 3600, UTC)
    span = [datetime.fromtimestamp(at / 1000, UTC) for at in (start, start + 5000)]
    [gone, *_] = admin.execute(
        "SELECT * FROM trades WHERE symbol = %s AND hour = %s "
        "AND trade_timestamp >= %s AND trade_timestamp < %s",
        (SYMBOLS[0], hour, *span),
    )
    before = rows(admin)
    admin.execute(
        "DELETE FROM trades WHERE symbol = %s AND hour = %s AND trade_timestamp = %s AND trade_id = %s",
        (SYMBOLS[0], hour, gone.trade_timestamp, gone.trade_id),
    )
    done = replayed.market("rebuild-bars", "--symbol", SYMBOLS[0])
    assert "1 bars stayed as they are: some of their trades have expired." in done.stdout
    after = rows(admin)
    insert = f"INSERT INTO trades ({', '.join(gone._fields)}) VALUES ({', '.join(['%s'] * len(gone))})"
    admin.execute(insert, list(gone))
    for table in ("bars_5s", "running_averages_15s"):
        assert_same({table: after[table]}, {table: before[table]})


def test_a_missing_right_is_named_and_once_it_is_given_the_work_goes_on(
    replayed: Stack, admin: Session
) -> None:
    said = len(log_of(replayed))
    admin.execute("REVOKE MODIFY ON feed_events FROM stream_processor")
    producer = Producer(
        client_config(
            KafkaSettings(kafka_port=int(replayed.settings["KAFKA_PORT"])),
            "collector",
            SecretStr(replayed.secrets()["KAFKA_COLLECTOR_PASSWORD"]),
        )
    )
    session = f"right-{os.urandom(8).hex()}"
    reason = "User stream_processor has no MODIFY permission on <table market.feed_events> or any of its"

    def refused() -> str | None:
        # A right that is taken holds for some seconds more, and Spark says the reason before we do.
        producer.produce(f"{replayed.topic}.events", event(session))
        producer.flush(30)
        lines = log_of(replayed)[said:].splitlines()
        return next((line for line in lines if "failed:" in line and reason in line), None)

    try:
        line = wait_until(refused, "the refused write", 120, every=2.0)
    finally:
        admin.execute("GRANT MODIFY ON feed_events TO stream_processor")
    assert "The query events failed: Failed to write statements to market.feed_events." in line
    day = datetime.fromtimestamp(START_MS / 1000, UTC).date()
    wait_until(
        lambda: [
            row
            for row in admin.execute("SELECT session FROM feed_events WHERE day = %s", [day])
            if row.session == session
        ],
        "the event in its table",
        120,
    )


def event(session: str) -> bytes:
    """Return the message of a feed event."""
    value = io.BytesIO()
    fields = {"at": START_MS, "session": session, "kind": "connected", "detail": "", "gap_seconds": None}
    fastavro.schemaless_writer(value, events_schema().parsed, fields)
    return value.getvalue()
