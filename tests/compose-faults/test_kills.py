"""Each container is killed during a replay: it comes back, and all that was received is in the tables."""

from pathlib import Path

import polars as pl
import pytest

import oracle
from compose_stack import RECORDING, Compose
from ops.lifecycle.services import SERVICES
from stack import wait_until

SPEED = "20"
SECONDS = 900
RECEIVING = {"feed", "collector"}

pytestmark = pytest.mark.timeout(4000)


def count(compose: Compose, trades: pl.DataFrame) -> int:
    """Return how many trades are stored in the hours and for the symbols of these."""
    hours = trades.select("symbol", hour=pl.from_epoch(pl.col("t") // 3_600_000 * 3600)).unique()
    chosen = " or ".join(
        f"(symbol = '{symbol}' and hour = timestamp '{hour:%Y-%m-%d %H:%M:%S}')"
        for symbol, hour in hours.rows()
    )
    [row] = compose.query(f"select count(*) as n from cassandra.market.trades where {chosen}")
    return int(row["n"])


@pytest.mark.parametrize("service", [service.name for service in SERVICES])
def test_a_killed_container_comes_back_and_nothing_is_lost(
    fresh: Compose, service: str, tmp_path: Path
) -> None:
    known = set(fresh.journals())
    replay = ("exec", "-T", "collector", "market", "replay", f"/recordings/{RECORDING.name}")
    replaying = fresh.start(*replay, "--speed", SPEED)
    wait_until(lambda: set(fresh.journals()) - known, "a journal of the replay")
    fresh.kill(service)
    out, errors = replaying.communicate(timeout=SECONDS)
    assert service in RECEIVING or replaying.returncode == 0, (out, errors)
    assert b"Traceback" not in errors
    fresh.until_healthy(*(one.name for one in SERVICES))

    received = fresh.replayed(tmp_path)
    assert received.height > 0
    wait_until(lambda: count(fresh, received) >= received.height, "all trades in Cassandra", SECONDS)
    assert count(fresh, received) == received.height
    # Running averages are written last.
    averages = oracle.running_averages(received)
    wait_until(
        lambda: fresh.counted("running_averages_15s", averages) == averages["trade_count"].sum(),
        "all running averages in Cassandra",
        SECONDS,
    )
    fresh.check(received)
