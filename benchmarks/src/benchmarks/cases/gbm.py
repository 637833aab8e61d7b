"""How fast the forecasts are."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from benchmarks.figures import Figure, Report, repeat, seconds
from benchmarks.stack import running_stack
from common.symbols import SYMBOLS_BUCKET

SYMBOLS = tuple(f"BENCH:{number}" for number in range(7))
HOURLY_SECONDS = 20.0
YEAR_SECONDS = 31_557_600.0
VOLATILITY = 0.6


def measure(report: Report) -> list[Figure]:
    """Measure the hourly run of seven symbols, Spark's start included."""
    with running_stack(report) as stack:
        report("Storing bars ...")
        with stack.cassandra() as session:
            for seed, symbol in enumerate(SYMBOLS):
                store_bars(session, symbol, timedelta(hours=7), seed)
        report("Hourly runs ...")
        runs = repeat(lambda: seconds(lambda: stack.market("forecast")))
    return [Figure(f"run of {len(SYMBOLS)} symbols", "s", runs, "lower", HOURLY_SECONDS)]


def store_bars(session: Session, symbol: str, length: timedelta, seed: int) -> None:
    """Store the bars of a geometric Brownian motion up to now, and the symbol."""
    end = datetime.now(UTC).replace(microsecond=0)
    end -= timedelta(seconds=end.second % 5)
    count = length // timedelta(seconds=5)
    steps = np.random.default_rng(seed).normal(0, VOLATILITY * math.sqrt(5 / YEAR_SECONDS), count)
    starts = (end - timedelta(seconds=5 * (count - index)) for index in range(count))
    closes = (100 * np.exp(np.cumsum(steps))).tolist()
    insert = session.prepare("INSERT INTO bars_5s (symbol, day, window_start, close) VALUES (?, ?, ?, ?)")
    rows = [(symbol, start.date(), start, close) for start, close in zip(starts, closes, strict=True)]
    execute_concurrent_with_args(session, insert, rows, raise_on_first_error=True)
    session.execute(
        "INSERT INTO symbols (bucket, symbol, asset_class, calendar, first_seen, last_seen) "
        "VALUES (%s, %s, 'crypto', '24/7', %s, %s)",
        (SYMBOLS_BUCKET, symbol, end - length, end),
    )
