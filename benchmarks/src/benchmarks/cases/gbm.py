"""How fast the forecasts are: the simulation beside a plain loop, many symbols, backtest, hourly run."""

import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
import psutil
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args
from pydantic import SecretStr
from pyspark import SparkContext

from benchmarks.figures import REPETITIONS, Figure, Report, repeat, repeat_pair, seconds
from benchmarks.stack import BenchmarkError, Stack, running_stack
from common.gbm import QUANTILES
from common.gbm.mixture import Mixture
from common.gbm.model import Model
from common.gbm.simulation import LEVELS, simulate, summarise, times_ahead
from common.symbols import SYMBOLS_BUCKET
from gbm_analysis.job import BATCH_SYMBOLS
from gbm_analysis.settings import GbmSettings
from gbm_analysis.simulation import LazySpark, run_tasks
from gbm_analysis.tasks import SimulationError, tasks_of

YEAR_SECONDS = 31_557_600.0
MODEL = Model(100.0, 0.0, 0.6, YEAR_SECONDS)
MIXTURE = Model(100.0, 0.0, 0.6, YEAR_SECONDS, Mixture(4.0, 0.9, 100))
TIMES = times_ahead(3600, 60)
PATHS = 100_000
STEPS = PATHS * len(TIMES)

HOURLY_SYMBOLS = 7
HOURLY_LIMIT_SECONDS = 20.0
MANY_SYMBOLS = 500
# What the container of the forecasts has.
MEMORY_LIMIT_MB = 896.0
BACKTEST_SYMBOLS = 4
BACKTEST_HOURS = 100
BACKTEST_LIMIT_SECONDS = 60.0
SAMPLE_SECONDS = 0.5


def measure(report: Report) -> list[Figure]:
    """Measure all of it."""
    figures = measure_simulation(report)
    figures += measure_many_symbols(report)
    with running_stack(report) as stack:
        figures += measure_backtest(stack, report)
        figures += measure_hourly_run(stack, report)
    return figures


def measure_simulation(report: Report) -> list[Figure]:
    """Measure steps per second of processor time, beside plain loops of numpy in the same process."""
    report("Simulating beside plain loops ...")

    def own() -> float:
        return _rate(lambda: summarise(MIXTURE, TIMES, simulate(MIXTURE, TIMES, 1, PATHS)))

    mine, loops = repeat_pair(own, lambda: _rate(lambda: plain_loop(MODEL, 1)), 5)
    again, shorter = repeat_pair(own, lambda: _rate(lambda: plain_loop(MODEL, 1, quantiles=False)), 5)
    return [
        Figure("simulated steps per core", "million/s", mine),
        Figure("plain loop, same results", "million/s", loops),
        Figure("of the plain loop's speed", "x", _ratios(mine, loops), limit=0.9),
        Figure("of a plain loop's speed without quantiles by minute", "x", _ratios(again, shorter)),
    ]


def plain_loop(model: Model, seed: int, quantiles: bool = True) -> list[object]:
    """Simulate as one would write it first: all paths at once, step by step, with the same results.

    The extremes of each step are those of its Brownian bridge, as in the project's simulation.
    """
    generator = np.random.default_rng(seed)
    end, peak, bottom, drawdown = (np.zeros(PATHS) for _ in range(4))
    variance = model.volatility**2
    by_step = []
    for years in np.diff(TIMES, prepend=0.0) / model.seconds_per_year:
        normal = generator.standard_normal(PATHS)
        move = (model.drift - variance / 2) * years + model.volatility * math.sqrt(years) * normal
        reach = np.sqrt(move**2 + 2 * variance * years * generator.standard_exponential(PATHS))
        low, high = end + (move - reach) / 2, end + (move + reach) / 2
        end = end + move
        bottom = np.minimum(bottom, low)
        drawdown = np.maximum(drawdown, peak - low)
        peak = np.maximum(peak, high)
        drawdown = np.maximum(drawdown, peak - end)
        if quantiles:
            by_step.append(np.quantile(end, QUANTILES))
    touched = [
        np.mean(peak >= level) if level > 0 else np.mean(bottom <= level) for level in np.log1p(LEVELS)
    ]
    return [
        np.exp(by_step),
        touched,
        drawdown.mean(),
        np.quantile(drawdown, 0.95),
    ]


def measure_many_symbols(report: Report) -> list[Figure]:
    """Measure the simulation of many symbols on Spark, and the memory that it takes."""
    report(f"Simulating {MANY_SYMBOLS} symbols on Spark ...")
    settings = GbmSettings(cassandra_gbm_analysis_password=SecretStr(""), spark_master="local[2]")
    durations, peaks = [], []
    with LazySpark(settings) as spark:
        for _ in range(REPETITIONS):
            with _peak_memory() as peak:
                durations.append(seconds(lambda: _simulate_many(spark.context())))
            peaks.append(peak[0])
            report(f"{durations[-1]:.0f} s")
    name = f"{MANY_SYMBOLS} symbols x {PATHS:,} paths x {len(TIMES)} steps on two cores"
    return [
        Figure(name, "s", tuple(durations), "lower"),
        Figure(f"memory of {MANY_SYMBOLS} symbols", "MB", tuple(peaks), "lower", MEMORY_LIMIT_MB),
    ]


def measure_backtest(stack: Stack, report: Report) -> list[Figure]:
    """Measure a backtest of hourly forecasts, Spark's start included."""
    report("Storing the backtest's bars ...")
    length = timedelta(hours=BACKTEST_HOURS + 1)
    with stack.cassandra() as session:
        for number in range(BACKTEST_SYMBOLS):
            store_bars(session, f"BACKTEST:{number}", length, number)
    chosen = [part for number in range(BACKTEST_SYMBOLS) for part in ("--symbol", f"BACKTEST:{number}")]

    def run() -> None:
        result = json.loads(stack.market("backtest", *chosen, "--json"))
        forecasts = result["overall"]["forecasts"]
        if forecasts < BACKTEST_SYMBOLS * (BACKTEST_HOURS - 2):
            raise BenchmarkError(f"The backtest held {forecasts} forecasts only.")

    report("Backtests ...")
    runs = repeat(lambda: seconds(run))
    name = f"backtest of {BACKTEST_SYMBOLS * BACKTEST_HOURS} hourly forecasts"
    return [Figure(name, "s", runs, "lower", BACKTEST_LIMIT_SECONDS)]


def measure_hourly_run(stack: Stack, report: Report) -> list[Figure]:
    """Measure the run of the default number of symbols, Spark's start included."""
    report("Storing the bars of the hourly run ...")
    chosen = [f"BENCH:{number}" for number in range(HOURLY_SYMBOLS)]
    with stack.cassandra() as session:
        for seed, symbol in enumerate(chosen):
            store_bars(session, symbol, timedelta(hours=7), seed)
    report("Hourly runs ...")
    arguments = [part for symbol in chosen for part in ("--symbol", symbol)]
    runs = repeat(lambda: seconds(lambda: stack.market("forecast", *arguments)))
    return [Figure(f"run of {HOURLY_SYMBOLS} symbols", "s", runs, "lower", HOURLY_LIMIT_SECONDS)]


def store_bars(session: Session, symbol: str, length: timedelta, seed: int) -> None:
    """Store the bars of a geometric Brownian motion up to now, and the symbol."""
    end = datetime.now(UTC).replace(microsecond=0)
    end -= timedelta(seconds=end.second % 5)
    count = length // timedelta(seconds=5)
    steps = np.random.default_rng(seed).normal(0, MODEL.volatility * math.sqrt(5 / YEAR_SECONDS), count)
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


def _simulate_many(context: SparkContext) -> None:
    """Simulate as a run does, a batch of symbols at a time."""
    names = [str(number) for number in range(MANY_SYMBOLS)]
    for first in range(0, len(names), BATCH_SYMBOLS):
        batch = names[first : first + BATCH_SYMBOLS]
        tasks = [task for name in batch for task in tasks_of(name, MIXTURE, TIMES, int(name), PATHS)]
        for result in run_tasks(context, tasks).values():
            if isinstance(result, SimulationError):
                raise BenchmarkError(f"The simulation failed: {result}.")
            summarise(MIXTURE, TIMES, result)


def _rate(simulate_once: Callable[[], object]) -> float:
    """Return million steps per second of this process's processor time."""
    start = time.process_time()
    simulate_once()
    return STEPS / (time.process_time() - start) / 1e6


def _ratios(own: tuple[float, ...], peer: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(mine / other for mine, other in zip(own, peer, strict=True))


@contextmanager
def _peak_memory() -> Iterator[list[float]]:
    """Sample the memory (MB, shared pages in parts) of this process and those below it; yield the highest."""
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            peak[0] = max(peak[0], _memory())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def _memory() -> float:
    root = psutil.Process(os.getpid())
    total = 0
    for process in (root, *root.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 1024**2
