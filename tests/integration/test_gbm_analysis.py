"""The forecasting job in a running stack, and the simulation on Spark."""

import json
import math
import os
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args
from pydantic import SecretStr
from pyspark.sql import SparkSession

from common.cassandra import connect
from common.gbm.calibration import calibrate
from common.gbm.mixture import Mixture
from common.gbm.model import Model
from common.gbm.simulation import LEVELS, simulate, summarise, times_ahead
from common.heartbeat import read_heartbeat
from common.settings import CassandraSettings
from common.symbols import SYMBOLS_BUCKET
from gbm_analysis.__main__ import main
from gbm_analysis.backtest import History, Trial, try_forecast, walk_times
from gbm_analysis.backtest_run import try_forecasts
from gbm_analysis.job import Run
from gbm_analysis.lock import LockError, RunLock
from gbm_analysis.outcome import RunOutcome
from gbm_analysis.past_forecasts import score_past_forecasts
from gbm_analysis.planning import Plan
from gbm_analysis.records import Outcome
from gbm_analysis.scoring import Score
from gbm_analysis.settings import GbmSettings
from gbm_analysis.simulation import run_tasks
from gbm_analysis.store import END_COLUMNS, TOUCH_COLUMNS, Store
from gbm_analysis.tasks import tasks_of
from stack import Stack, free_ports, wait_until

QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
YEAR = 31_557_600.0
HOUR = timedelta(hours=1)
# Last seen so long ago, a symbol is forecast only where it is named: not by the stack's own hourly service.
INACTIVE = timedelta(days=8)
ENVIRON = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def session(stack: Stack) -> Iterator[Session]:
    """Return a login that may write bars too."""
    settings = CassandraSettings(cassandra_port=int(stack.settings["CASSANDRA_PORT"]))
    session = connect(settings, "admin", SecretStr(stack.secrets()["CASSANDRA_ADMIN_PASSWORD"]))
    yield session
    session.cluster.shutdown()


@pytest.fixture
def symbol(session: Session) -> Iterator[str]:
    """Return a symbol of the test's own, and remove it at the end."""
    name = f"TEST:{uuid.uuid4().hex}"
    yield name
    session.execute("DELETE FROM symbols WHERE bucket = %s AND symbol = %s", (SYMBOLS_BUCKET, name))


@pytest.fixture
def context(spark: SparkSession) -> Any:
    """Return Spark with workers that run this Python and find what it finds."""
    spark.sparkContext.pythonExec = sys.executable
    spark.sparkContext.environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    return spark.sparkContext


@pytest.fixture
def other_symbol(session: Session) -> Iterator[str]:
    """Return another symbol of the test's own, which sorts after the first."""
    name = f"TEST:~{uuid.uuid4().hex}"
    yield name
    session.execute("DELETE FROM symbols WHERE bucket = %s AND symbol = %s", (SYMBOLS_BUCKET, name))


@pytest.fixture
def job(session: Session, context: Any, stack: Stack) -> Callable[..., RunOutcome]:
    """Return the job of this process, for symbols as of a time."""
    settings = GbmSettings.load()

    def run(
        *symbols: str, now: datetime, scheduled: bool = False, report: Callable[[str], None] = print
    ) -> RunOutcome:
        with RunLock(session, report) as lock:
            run = Run(Store(session), settings, lock, lambda: context, report)
            return run.run(names=symbols, scheduled=scheduled, now=now)

    return run


def store_bars(
    session: Session,
    symbol: str,
    end: datetime,
    prices: Any,
    calendar: str = "24/7",
    first_seen: datetime | None = None,
) -> None:
    """Store bars of these closes up to `end`, and the symbol."""
    insert = session.prepare("INSERT INTO bars_5s (symbol, day, window_start, close) VALUES (?, ?, ?, ?)")
    starts = [end - timedelta(seconds=5 * (len(prices) - index)) for index in range(len(prices))]
    rows = [(symbol, start.date(), start, float(price)) for start, price in zip(starts, prices, strict=True)]
    execute_concurrent_with_args(session, insert, rows, raise_on_first_error=True)
    session.execute(
        "INSERT INTO symbols (bucket, symbol, calendar, first_seen, last_seen) VALUES (%s, %s, %s, %s, %s)",
        (SYMBOLS_BUCKET, symbol, calendar, first_seen, end - INACTIVE),
    )


def walk(minutes: float, seed: int = 2) -> Any:
    """Return closes of a geometric Brownian motion, 60 % a year."""
    steps = np.random.default_rng(seed).normal(0, 0.6 * math.sqrt(5 / YEAR), round(minutes * 12))
    return 100 * np.exp(np.cumsum(steps))


def five_seconds(moment: datetime) -> datetime:
    """Return the start of the moment's bar."""
    return moment.replace(second=moment.second // 5 * 5, microsecond=0)


def rows_of(session: Session, table: str, symbol: str) -> list[Any]:
    """Return what a table holds of a symbol today and yesterday."""
    today = datetime.now(UTC).date()
    days = (today - timedelta(days=1), today)
    query = session.prepare(f"SELECT * FROM {table} WHERE symbol = ? AND day = ?")
    return [row for day in days for row in session.execute(query, (symbol, day))]


def written(session: Session, symbol: str) -> list[Any]:
    """Return when each row of the forecasts' tables was written."""
    today = datetime.now(UTC).date()
    columns = {
        "gbm_parameters": "status",
        "gbm_forecasts": "spot",
        "gbm_distributions": "low",
        "gbm_scores": "crps",
    }
    return [
        (table, *row)
        for table, column in columns.items()
        for day in (today - timedelta(days=1), today)
        for row in session.execute(
            f"SELECT forecast_time, WRITETIME({column}) FROM {table} WHERE symbol = %s AND day = %s",
            (symbol, day),
        )
    ]


def make_forecast(store: Store, symbol: str, at: datetime) -> Plan:
    """Write a forecast of one hour as the job would have done at that time."""
    sample = store.bars(symbol, at - timedelta(minutes=30), at)
    calibration = calibrate([sample], YEAR)
    model = Model(float(sample.prices[-1]), calibration.drift, calibration.volatility, YEAR)
    plan = Plan(calibration, model, times_ahead(3600, 60), 1, at - timedelta(minutes=30), at)
    forecast = summarise(model, plan.seconds, simulate(model, plan.seconds, plan.seed, 5000))
    store.write_forecast(symbol, at, plan, forecast)
    return plan


def test_the_forecast_agrees_with_the_closed_form_of_its_own_parameters(
    stack: Stack, session: Session, symbol: str
) -> None:
    prices = walk(30)
    store_bars(session, symbol, five_seconds(datetime.now(UTC)), prices)
    output = stack.market("forecast", "--symbol", symbol).stdout
    assert output.startswith(f"{symbol}: ok. ")
    (parameters,) = rows_of(session, "gbm_parameters", symbol)
    assert parameters.status == "ok"
    assert parameters.reason is None
    assert parameters.seconds_per_year == YEAR
    assert 30 - 1 <= parameters.observations < len(prices)
    assert abs(parameters.volatility - 0.6) < 4 * parameters.volatility_stderr
    assert abs(parameters.drift) < abs(parameters.drift_estimate)
    assert parameters.sample_end - parameters.sample_start == timedelta(minutes=30)
    rows = rows_of(session, "gbm_forecasts", symbol)
    assert [row.target_time - row.forecast_time for row in rows] == [
        timedelta(minutes=n) for n in range(1, 61)
    ]
    mixture = Mixture(parameters.degrees_of_freedom or math.inf, parameters.scale, parameters.outcomes)
    model = Model(prices[-1], parameters.drift, parameters.volatility, YEAR, mixture)
    assert parameters.model == model.name
    for row in rows:
        assert row.spot == prices[-1]
        assert row.actual is None
        assert row.horizon_seconds == (row.target_time - row.forecast_time).total_seconds()
        for column, probability in QUANTILES.items():
            stderr = math.sqrt(probability * (1 - probability) / row.paths)
            assert abs(model.pit(getattr(row, column), row.horizon_seconds) - probability) < 5 * stderr
    bins = rows_of(session, "gbm_distributions", symbol)
    assert sum(row.count for row in bins) == rows[-1].paths
    assert sum(row.density * (row.high - row.low) for row in bins) == pytest.approx(1)
    above = sum(row.count for row in bins if row.low > rows[-1].spot)
    share = sum(row.count for row in bins if row.high > rows[-1].spot)
    assert above <= parameters.prob_up * rows[-1].paths <= share
    assert parameters.var_95 == pytest.approx(1 - rows[-1].p05 / rows[-1].spot)
    assert parameters.var_95 < parameters.es_95 < parameters.es_99
    assert parameters.var_95 < parameters.var_99 < parameters.es_99
    for change, touched, ended in zip(LEVELS, TOUCH_COLUMNS, END_COLUMNS, strict=True):
        level = prices[-1] * (1 + change)
        below = model.pit(level, 3600)
        for column, exact in ((touched, model.touch(level, 3600)), (ended, min(below, 1 - below))):
            stderr = math.sqrt(exact * (1 - exact) / rows[-1].paths)
            assert abs(getattr(parameters, column) - exact) < 5 * stderr + 1e-9
    assert 0 < parameters.drawdown_mean < parameters.drawdown_95 < 1
    assert {row.volatility_seconds for row in rows} == {None}
    columns = ("model", "outcomes", *TOUCH_COLUMNS, *END_COLUMNS, "drawdown_mean", "drawdown_95")
    (shown,) = stack.query(
        f"select {', '.join(columns)} from cassandra.market.gbm_parameters where symbol = '{symbol}'"
    )
    assert shown == {column: getattr(parameters, column) for column in columns}


def test_the_second_scheduled_run_of_an_hour_writes_nothing(
    session: Session, symbol: str, job: Callable[..., RunOutcome]
) -> None:
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    store_bars(session, symbol, five_seconds(now), walk(100))
    assert job(symbol, scheduled=True, now=now).forecast == 1
    first = written(session, symbol)
    (parameters,) = rows_of(session, "gbm_parameters", symbol)
    assert parameters.status == "ok"
    assert parameters.forecast_time == parameters.sample_end == hour.replace(tzinfo=None)
    lines: list[str] = []
    outcome = job(symbol, scheduled=True, now=now, report=lines.append)
    assert lines == [f"{symbol}: the forecast of {hour:%Y-%m-%d %H:%M} UTC was there already"]
    assert (outcome.forecast, outcome.newest_forecast) == (1, hour.timestamp())
    assert written(session, symbol) == first


def test_one_missed_hour_is_caught_up_with_the_bars_up_to_it(
    session: Session, symbol: str, job: Callable[..., RunOutcome]
) -> None:
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    prices = walk(190)
    store_bars(session, symbol, hour, prices, first_seen=hour - timedelta(minutes=190))
    lines: list[str] = []
    job(symbol, scheduled=True, now=now, report=lines.append)
    missed, present = rows_of(session, "gbm_parameters", symbol)
    assert (missed.forecast_time, missed.caught_up) == ((hour - HOUR).replace(tzinfo=None), True)
    assert (present.forecast_time, present.caught_up) == (hour.replace(tzinfo=None), False)
    assert missed.status == present.status == "ok"
    assert missed.sample_end == missed.forecast_time
    assert missed.observations < present.observations
    assert {row.spot for row in rows_of(session, "gbm_forecasts", symbol)} == {
        prices[130 * 12 - 1],
        prices[-1],
    }
    assert lines[0].startswith(f"{symbol}: caught up {hour - HOUR:%H:%M} UTC, ok. ")
    before = written(session, symbol)
    job(symbol, scheduled=True, now=now)
    assert written(session, symbol) == before


def test_a_symbol_that_began_after_the_missed_hour_is_not_caught_up(
    session: Session, symbol: str, job: Callable[..., RunOutcome]
) -> None:
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    store_bars(session, symbol, hour, walk(60), first_seen=hour - HOUR)
    job(symbol, scheduled=True, now=now)
    (parameters,) = rows_of(session, "gbm_parameters", symbol)
    assert parameters.forecast_time == hour.replace(tzinfo=None)


def test_one_failing_symbol_costs_the_others_nothing(
    session: Session, symbol: str, other_symbol: str, job: Callable[..., RunOutcome]
) -> None:
    now = five_seconds(datetime.now(UTC))
    store_bars(session, symbol, now, walk(30), calendar="NOWHERE")
    store_bars(session, other_symbol, now, walk(30))
    lines: list[str] = []
    outcome = job(symbol, other_symbol, now=now, report=lines.append)
    assert (outcome.forecast, outcome.refused, outcome.failed) == (1, 0, 1)
    (failed,) = rows_of(session, "gbm_parameters", symbol)
    assert failed.status == "failed"
    assert "NOWHERE" in failed.reason
    assert f"{symbol}: failed. {failed.reason}" in lines
    (good,) = rows_of(session, "gbm_parameters", other_symbol)
    assert good.status == "ok"


def test_two_runs_never_hold_the_lock_at_once(session: Session) -> None:
    lines: list[str] = []
    with RunLock(session, lines.append) as first:
        with pytest.raises(LockError, match=r"^Another run was under way, process \d+ on .*, since "):
            RunLock(session, lines.append, wait_seconds=0).__enter__()
        first.require()
    assert len(lines) == 0
    with RunLock(session, lines.append, wait_seconds=0):
        row = session.execute("SELECT TTL(holder) AS ttl FROM gbm_locks WHERE name = 'forecast'").one()
        assert 0 < row.ttl <= 60
    assert session.execute("SELECT * FROM gbm_locks WHERE name = 'forecast'").one() is None


def test_a_lost_lock_stops_the_run_before_it_writes(
    session: Session, symbol: str, job: Callable[..., RunOutcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = five_seconds(datetime.now(UTC))
    store_bars(session, symbol, now, walk(30))
    monkeypatch.setattr("gbm_analysis.lock.EXPIRY_SECONDS", 0)
    with pytest.raises(LockError, match="was lost"):
        job(symbol, now=now)
    assert written(session, symbol) == []


def test_ten_minutes_of_bars_make_a_reason_instead_of_a_forecast(
    stack: Stack, session: Session, symbol: str
) -> None:
    store_bars(session, symbol, five_seconds(datetime.now(UTC)), walk(10))
    output = stack.market("forecast", "--symbol", symbol).stdout
    (parameters,) = rows_of(session, "gbm_parameters", symbol)
    assert parameters.status == "insufficient"
    assert parameters.reason == "Bars of 15 minutes are needed, and the last 6 hours held 10.0."
    assert parameters.reason in output
    assert rows_of(session, "gbm_forecasts", symbol) == []


def test_an_unknown_symbol_is_refused_before_anything_is_written(
    stack: Stack, session: Session, symbol: str
) -> None:
    store_bars(session, symbol, five_seconds(datetime.now(UTC)), walk(20))
    done = stack.market("forecast", "--symbol", symbol, "--symbol", "NOPE", check=False)
    assert done.returncode != 0
    assert done.stderr.strip().startswith("The symbol NOPE was never received")
    assert len(done.stderr.strip().splitlines()) == 1
    assert written(session, symbol) == []


def test_without_cassandra_there_is_one_sentence(stack: Stack) -> None:
    environ = ENVIRON | {"MARKET_HOME": str(stack.home), "CASSANDRA_PORT": str(free_ports(1)[0])}
    job = [sys.executable, "-m", "gbm_analysis"]
    done = subprocess.run(job, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert "does not answer" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_scoring_fills_in_the_actual_prices_and_the_score_once(session: Session, symbol: str) -> None:
    now = five_seconds(datetime.now(UTC))
    at = now - timedelta(minutes=80)
    prices = walk(120)
    store_bars(session, symbol, now, prices)
    store = Store(session)
    plan = make_forecast(store, symbol, at)
    score_past_forecasts(store, symbol, now, timedelta(hours=1))
    rows = rows_of(session, "gbm_forecasts", symbol)
    first_bar = now - timedelta(minutes=120)
    for row in rows:
        assert (
            row.actual == prices[int((row.target_time.replace(tzinfo=UTC) - first_bar).total_seconds() / 5)]
        )
    (score,) = rows_of(session, "gbm_scores", symbol)
    end = rows[-1]
    assert score.absolute_error == abs(end.actual - end.p50)
    assert score.naive_absolute_error == abs(end.actual - end.spot)
    assert score.inside_50 == (end.p25 <= end.actual <= end.p75)
    assert score.inside_90 == (end.p05 <= end.actual <= end.p95)
    assert score.pit == plan.model.pit(end.actual, 3600)
    before = written(session, symbol)
    score_past_forecasts(store, symbol, now, timedelta(hours=1))
    assert written(session, symbol) == before
    late = at + timedelta(hours=1)
    store_bars(session, symbol, late + timedelta(seconds=5), [end.actual * 1.001])
    score_past_forecasts(store, symbol, now, timedelta(hours=1))
    assert rows_of(session, "gbm_forecasts", symbol)[-1].actual == end.actual * 1.001
    assert rows_of(session, "gbm_scores", symbol) != [score]


def test_a_target_without_a_price_in_its_last_minute_has_no_actual_and_no_score(
    session: Session, symbol: str
) -> None:
    now = five_seconds(datetime.now(UTC))
    at = now - timedelta(minutes=65)
    store_bars(session, symbol, at + timedelta(minutes=30), walk(60))
    store = Store(session)
    make_forecast(store, symbol, at)
    score_past_forecasts(store, symbol, now, timedelta(hours=1))
    minutes = [row.actual is not None for row in rows_of(session, "gbm_forecasts", symbol)]
    assert minutes == [True] * 30 + [False] * 30
    assert rows_of(session, "gbm_scores", symbol) == []


def test_a_forecast_under_way_is_filled_up_to_now(session: Session, symbol: str) -> None:
    now = five_seconds(datetime.now(UTC))
    store_bars(session, symbol, now, walk(60))
    store = Store(session)
    make_forecast(store, symbol, now - timedelta(minutes=10))
    score_past_forecasts(store, symbol, now, timedelta(hours=1))
    filled = [row.actual is not None for row in rows_of(session, "gbm_forecasts", symbol)]
    assert filled == [True] * 10 + [False] * 50
    assert rows_of(session, "gbm_scores", symbol) == []


@pytest.mark.parametrize("partitions", [1, 2, 5])
def test_spark_gives_the_same_tally_on_any_number_of_partitions(context: Any, partitions: int) -> None:
    seconds = times_ahead(600, 60)
    model = Model(100.0, 0.5, 0.6, YEAR, Mixture(3.0, 0.9, 50))
    tasks = tasks_of("A", model, seconds, 1, 20_000) + tasks_of("B", model.plain, seconds, 2, 9000)
    order = np.random.default_rng(partitions).permutation(len(tasks))
    found = run_tasks(context, [tasks[index] for index in order], partitions)
    assert found.keys() == {"A", "B"}
    expected = {"A": simulate(model, seconds, 1, 20_000), "B": simulate(model.plain, seconds, 2, 9000)}
    for symbol, tally in expected.items():
        for field in fields(tally):
            assert np.array_equal(getattr(found[symbol], field.name), getattr(tally, field.name)), field.name


@pytest.fixture
def walked(session: Session, symbol: str) -> tuple[datetime, datetime]:
    """Store ten hours of bars up to midnight, so that each run tries the same; return start and end."""
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    store_bars(session, symbol, end, walk(600), first_seen=end - timedelta(hours=10))
    return end - timedelta(hours=10), end


def test_a_backtest_over_simulated_prices_reports_bands_that_hold(
    stack: Stack,
    session: Session,
    symbol: str,
    other_symbol: str,
    walked: tuple[datetime, datetime],
) -> None:
    start, end = walked
    store_bars(session, other_symbol, end, walk(600, seed=3), first_seen=start)
    symbols = [part for name in (symbol, other_symbol) for part in ("--symbol", name)]
    every = ("--every", "600", "--horizon", "600")
    done = stack.market("backtest", *symbols, *every, "--to", end.isoformat(), "--json")
    result = json.loads(done.stdout)
    # The first has 15 minutes of bars, the last ends with them.
    moments = (end - start - timedelta(minutes=20)) // timedelta(minutes=10)
    assert {name: one["forecasts"] for name, one in result["symbols"].items()} == {
        symbol: moments,
        other_symbol: moments,
    }
    overall = result["overall"]
    assert overall["forecasts"] == 2 * moments
    for one in (overall, overall["plain"]):
        assert min(one["kupiec_50"], one["kupiec_90"]) > 0.05
        assert one["skill"] == pytest.approx(1 - one["crps"] / one["naive_crps"])
        assert math.isfinite(one["log_score"])
        assert sum(one["pit_histogram"]) == 2 * moments
    assert "Reading the bars" in done.stderr


def test_spark_tries_forecasts_as_one_process_with_all_bars_does(
    session: Session, symbol: str, context: Any, walked: tuple[datetime, datetime]
) -> None:
    start, end = walked
    settings = GbmSettings.load().model_copy(update={"gbm_sample_hours": 2.0})
    history = History(symbol, "crypto", "24/7", Store(session).bars(symbol, start, end))
    times = walk_times("24/7", start, end, timedelta(minutes=30), HOUR)
    found = try_forecasts(settings, lambda: context, [(history, times)])
    expected = [try_forecast(settings, history, at) for at in times]
    assert len(found) >= 15
    assert found == [trial for trial in expected if isinstance(trial, Trial)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--from", "2026-02-02", "--to", "2026-02-01"],
            r"^The backtest was to start at 2026-02-02 00:00:00 UTC",
        ),
        (["--from", "yesterday"], r"^--from yesterday was not a time such as "),
        (["--every", "0"], r"^--every was 0, but must be from 1 to 604800 seconds\.$"),
        (["--horizon", "0"], r"^--horizon was 0, but must be from 1 to 604800 seconds\.$"),
        (["--to", "2001-01-01"], r"^No bars of TEST:\w+ were stored until 2001-01-01 00:00 UTC\.$"),
        (["--symbol", "NOPE"], r"^The symbol NOPE was never received; "),
    ],
)
def test_a_backtest_that_cannot_be_is_one_sentence(
    stack: Stack,
    session: Session,
    symbol: str,
    arguments: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store_bars(session, symbol, five_seconds(datetime.now(UTC)), walk(1))
    assert main(["backtest", "--symbol", symbol, *arguments]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line != "Reading the bars ..."]
    assert len(lines) == 1
    assert re.search(sentence, lines[0])


def test_the_next_forecast_learns_from_scored_ones_and_the_record_is_kept(
    session: Session, symbol: str, job: Callable[..., RunOutcome], stack: Stack
) -> None:
    now = five_seconds(datetime.now(UTC))
    store_bars(session, symbol, now, walk(90), first_seen=now - timedelta(minutes=90))
    store = Store(session)
    places = np.random.default_rng(3).standard_t(3, 60)
    for number, place in enumerate(places):
        at = now - timedelta(hours=2) * (number + 2)
        score = Score(1, 0.5, True, True, 1, 2, -3, float(place), 2, 0.5, True, False, -4)
        store.write_outcome(symbol, Outcome(at, at + HOUR, 100.0, 101.0, score))
    job(symbol, now=now)
    (parameters,) = rows_of(session, "gbm_parameters", symbol)
    assert parameters.model == "gbm-mixture"
    assert 2 <= parameters.degrees_of_freedom < 10
    assert parameters.outcomes >= 60
    (row,) = stack.query(f"select * from cassandra.market.gbm_judgements where name = '{symbol}'")
    assert (row["scope"], row["forecasts"], row["inside_90"], row["plain_inside_90"]) == ("symbol", 60, 1, 0)
    relative = (row["crps"], row["naive_crps"], row["skill"], row["plain_skill"])
    assert relative == pytest.approx((100, 200, 0.5, 0))
    assert (row["log_score"], row["plain_log_score"]) == (-3, -4)
    assert json.loads(row["pit_histogram"]) == [0, 0, 0, 0, 0, 60, 0, 0, 0, 0]
    overall = {row.name: row.forecasts for row in session.execute("SELECT * FROM gbm_judgements")}
    assert overall["all"] >= overall["crypto"] >= 60
    session.execute("DELETE FROM gbm_judgements WHERE scope = 'symbol' AND name = %s", [symbol])


def test_the_hourly_service_waits_in_a_small_process_and_stops_when_told(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    environ = ENVIRON | {
        "MARKET_HOME": str(tmp_path),
        "CASSANDRA_GBM_ANALYSIS_PASSWORD": "secret",
        "GBM_ANALYSIS_METRICS_PORT": str(port),
    }
    RunOutcome(0.0, 12.5, forecast=5, refused=2, failed=0, newest_forecast=None).write(tmp_path)
    service = subprocess.Popen([sys.executable, "-m", "gbm_analysis", "--every-hour"], env=environ)
    try:
        heartbeat = wait_until(lambda: read_heartbeat(tmp_path, "gbm-analysis"), "a sign of life")
        assert heartbeat["ready"] is True
        assert heartbeat["pid"] == service.pid
        assert "numpy" not in Path(f"/proc/{service.pid}/maps").read_text()
        address = f"http://127.0.0.1:{port}"
        assert requests.get(f"{address}/health", timeout=10).text == "ok"
        assert (
            "market_gbm_last_run_duration_seconds 12.5" in requests.get(f"{address}/metrics", timeout=10).text
        )
        service.terminate()
        assert service.wait(timeout=30) == 0
    finally:
        service.kill()


def test_a_taken_port_of_the_metrics_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environ = ENVIRON | {
            "MARKET_HOME": str(tmp_path),
            "CASSANDRA_GBM_ANALYSIS_PASSWORD": "secret",
            "GBM_ANALYSIS_METRICS_PORT": str(port),
        }
        service = [sys.executable, "-m", "gbm_analysis", "--every-hour"]
        done = subprocess.run(service, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Metrics could not be served on 127.0.0.1:{port}")
    assert line.endswith("set GBM_ANALYSIS_METRICS_PORT to a free port.")
