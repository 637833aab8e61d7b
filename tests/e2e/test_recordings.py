"""Recordings in, bars out: every trade and every bar against polars."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import polars as pl
import psutil
import pytest

import oracle
from common.identity import journal_source
from stack import ROOT, Stack, recording, wait_until
from tables import check, milliseconds

CRYPTO = recording("crypto-20240808.jsonl.gz")
STOCKS = recording("stocks-20131008.jsonl.gz")
DEMO = ROOT / "tests" / "data" / "demo.jsonl.gz"
HOST_ZONE = "America/St_Johns"  # where no full hour begins with one of UTC

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def empty_stack(shared_stack: Stack) -> Iterator[Stack]:
    """Return a stack that came up empty, with no feed but replays, on a host in another time zone."""
    shared_stack.settings["TZ"] = HOST_ZONE
    shared_stack.start_empty("none")
    yield shared_stack
    del shared_stack.settings["TZ"]


def ready_again(stack: Stack, killed: set[int]) -> bool:
    """Return whether a stream processor that was not killed yet is ready."""
    service = stack.status()["services"]["stream-processor"]
    return bool(service["ready"]) and service["pid"] not in killed


def check_receipts(stack: Stack, symbol: str, started: datetime) -> None:
    """Compare the columns of a symbol's trades that tell of their receipt with the time and the frames."""
    session = stack.cassandra()
    rows = session.execute(
        "SELECT hour, trade_timestamp, trade_id, ingest_timestamp, type FROM trades WHERE symbol = %s "
        "ALLOW FILTERING",
        [symbol],
    ).all()
    session.cluster.shutdown()
    ended = datetime.now(UTC)
    assert rows
    for row in rows:
        assert row.hour == row.trade_timestamp.replace(minute=0, second=0, microsecond=0)
        assert started <= row.ingest_timestamp.replace(tzinfo=UTC) <= ended
        assert journal_source(row.trade_id.partition(":")[0]) == "replay"
        assert row.type == "trade"


def check_symbols(stack: Stack, trades: pl.DataFrame) -> None:
    """Compare the list of symbols with the trades of the only recording that was played."""
    spans = trades.group_by("symbol").agg(first=pl.col("t").min(), last=pl.col("t").max())
    session = stack.cassandra()
    rows = session.execute("SELECT * FROM symbols WHERE bucket = 'all'").all()
    session.cluster.shutdown()
    crypto = {symbol: symbol.startswith("BINANCE:") for symbol in spans["symbol"]}
    assert {
        row.symbol: (
            milliseconds(row.first_seen),
            milliseconds(row.last_seen),
            row.asset_class,
            row.calendar,
            row.source,
        )
        for row in rows
    } == {
        symbol: (
            first,
            last,
            "crypto" if crypto[symbol] else "stock",
            "24/7" if crypto[symbol] else "XNYS",
            "replay",
        )
        for symbol, first, last in spans.rows()
    }


def test_the_small_recording_is_stored_to_the_last_trade(empty_stack: Stack) -> None:
    started = datetime.now(UTC) - timedelta(milliseconds=1)  # receipts are in whole milliseconds
    figures = empty_stack.replay(DEMO)
    assert figures["trades"] == figures["stored"] == oracle.trades(DEMO).height
    assert figures["dead_lettered"] == 0
    check(empty_stack, oracle.trades(DEMO))
    check_symbols(empty_stack, oracle.trades(DEMO))
    check_receipts(empty_stack, oracle.trades(DEMO)["symbol"][0], started)


def test_the_servers_stay_in_utc_on_a_host_in_another_time_zone(empty_stack: Stack) -> None:
    services = empty_stack.status()["services"]
    for name in ("cassandra", "presto", "stream-processor", "collector"):
        assert psutil.Process(services[name]["pid"]).environ()["TZ"] == "UTC"
    [now] = empty_stack.query("select cast(current_timestamp as varchar) as now")
    assert now["now"].endswith("UTC")


def test_the_crypto_recording_is_stored_to_the_last_trade(empty_stack: Stack) -> None:
    if not CRYPTO.exists():
        pytest.skip(f"needs the recording {CRYPTO.name}")
    figures = empty_stack.replay(CRYPTO)
    assert (figures["trades"], figures["stored"], figures["dead_lettered"]) == (15_863, 15_863, 0)
    check(empty_stack, oracle.trades(CRYPTO))


def test_older_stocks_after_newer_crypto_are_stored_to_the_last_trade(empty_stack: Stack) -> None:
    if not STOCKS.exists():
        pytest.skip(f"needs the recording {STOCKS.name}")
    figures = empty_stack.replay(STOCKS)
    assert (figures["trades"], figures["stored"], figures["dead_lettered"]) == (159_253, 159_253, 0)
    check(empty_stack, oracle.trades(STOCKS))


def test_a_second_replay_with_two_kills_doubles_the_counts_and_nothing_else(empty_stack: Stack) -> None:
    again = STOCKS if STOCKS.exists() else DEMO
    if again == STOCKS and not empty_stack.query(
        "select 1 from cassandra.market.symbols where symbol = 'IBM'"
    ):
        empty_stack.replay(STOCKS)
    with ThreadPoolExecutor(1) as pool:
        replaying = pool.submit(empty_stack.replay, again)
        killed: set[int] = set()
        for _ in range(2):
            wait_until(lambda: ready_again(empty_stack, killed), "a stream processor that is ready")
            killed.add(empty_stack.kill("stream-processor"))
        figures = replaying.result(timeout=600)
    assert figures["stored"] == figures["trades"] == oracle.trades(again).height
    check(empty_stack, oracle.trades(again, receipts=2))


def test_a_recording_shifted_to_now_is_waited_for_at_its_new_times_and_counted(empty_stack: Stack) -> None:
    trades = oracle.trades(DEMO)
    before = empty_stack.status()["pipeline"]
    started = datetime.now(UTC)
    figures = empty_stack.replay(DEMO, "--as-now")
    assert (figures["trades"], figures["stored"], figures["dead_lettered"]) == (
        trades.height,
        trades.height,
        0,
    )

    [newest] = empty_stack.query("select max(last_seen) as newest from cassandra.market.symbols")
    now_ms = milliseconds(datetime.fromisoformat(newest["newest"]))
    assert started.timestamp() * 1000 - 1 < now_ms < datetime.now(UTC).timestamp() * 1000
    check(empty_stack, trades.with_columns(pl.col("t") + (now_ms - trades["t"].max())))

    asked = time.time()
    after = wait_until(lambda: (now := empty_stack.status()["pipeline"])["kafka_lag"] == 0 and now, "no lag")
    assert asked - now_ms / 1000 < after["newest_trade_age_s"] < time.time() - now_ms / 1000
    for counter in ("trades_received", "trades_published", "trades_stored"):
        assert after[counter] - before[counter] == trades.height, counter
    assert after["dead_lettered"] == before["dead_lettered"]


def test_presto_counts_what_was_replayed(empty_stack: Stack) -> None:
    session = empty_stack.cassandra()
    partitions = session.execute("SELECT DISTINCT symbol, hour FROM trades").all()
    count = sum(
        session.execute("SELECT count(*) FROM trades WHERE symbol = %s AND hour = %s", partition).one()[0]
        for partition in partitions
    )
    session.cluster.shutdown()
    assert count > 0
    assert empty_stack.query("select count(*) as n from cassandra.market.trades") == [{"n": count}]
