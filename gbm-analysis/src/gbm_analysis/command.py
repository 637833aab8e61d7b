"""Runs from the command line: log in, run, and say in a sentence what went wrong."""

import json
import math
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cassandra.cluster import Session
from pydantic import ValidationError

from common.cassandra import ERRORS, connect, explain_error
from common.moments import parse_moment
from common.settings import SettingsError
from gbm_analysis.backtest_run import NothingToTestError, backtest
from gbm_analysis.job import Run, UnknownSymbolError, choose_symbols
from gbm_analysis.lock import LockError, RunLock
from gbm_analysis.settings import MAX_STEPS, GbmSettings
from gbm_analysis.simulation import LazySpark, SparkError
from gbm_analysis.store import Store

ROLE = "gbm_analysis"
MAX_SECONDS = 604_800


class ArgumentError(Exception):
    """Say in one sentence which argument was wrong."""


def run_forecast(symbols: Sequence[str], scheduled: bool) -> int:
    """Forecast these symbols, or all; return the exit status."""

    def run(session: Session, settings: GbmSettings) -> int:
        with RunLock(session, _report) as lock, LazySpark(settings) as spark:
            run = Run(Store(session), settings, lock, spark.context, _report)
            outcome = run.run(names=symbols, scheduled=scheduled, now=datetime.now(UTC))
        outcome.write(settings.market_home)
        return 1 if outcome.failed and not outcome.forecast else 0

    return _logged_in(run)


def run_backtest(
    symbols: Sequence[str],
    *,
    start: str | None,
    end: str | None,
    every: int,
    horizon: int | None,
    as_json: bool,
) -> int:
    """Walk the forecast over stored bars and print its figures; return the exit status."""

    def run(session: Session, settings: GbmSettings) -> int:
        settings = with_horizon(settings, horizon)
        if not 1 <= every <= MAX_SECONDS:
            raise ArgumentError(f"--every was {every}, but must be from 1 to {MAX_SECONDS} seconds.")
        now = datetime.now(UTC)
        first = None if start is None else parse_time("--from", start)
        last = now if end is None else min(now, parse_time("--to", end))
        if first is not None and first >= last:
            raise ArgumentError(
                f"The backtest was to start at {first:%Y-%m-%d %H:%M:%S} UTC, which was not before its end "
                f"at {last:%Y-%m-%d %H:%M:%S} UTC."
            )
        store = Store(session)
        known = store.symbols()
        selected = choose_symbols(known, symbols or [symbol.name for symbol in known], now)
        with LazySpark(settings) as spark:
            result = backtest(
                store,
                settings,
                spark.context,
                symbols=selected,
                start=first,
                end=last,
                every=timedelta(seconds=every),
                report=_progress,
            )
        print(json.dumps(result, indent=2) if as_json else _text(result))
        return 0

    return _logged_in(run)


def parse_time(option: str, text: str) -> datetime:
    """Read the time of an option; raise ArgumentError when it is none."""
    try:
        return parse_moment(text)
    except ValueError as error:
        raise ArgumentError(f"{option} {error}") from None


def with_horizon(settings: GbmSettings, horizon: int | None) -> GbmSettings:
    """Return the settings with another horizon; only its end counts, so that the steps may be coarser."""
    if horizon is None:
        return settings
    step = max(math.ceil(horizon / MAX_STEPS), min(settings.gbm_step_seconds, max(horizon, 1)))
    values = {**settings.model_dump(), "gbm_horizon_seconds": horizon, "gbm_step_seconds": step}
    try:
        return GbmSettings.model_validate(values)
    except ValidationError:
        raise ArgumentError(
            f"--horizon was {horizon}, but must be from 1 to {MAX_SECONDS} seconds."
        ) from None


def _logged_in(run: Callable[[Session, GbmSettings], int]) -> int:
    try:
        settings = GbmSettings.load()
    except SettingsError as error:
        return _fail(str(error))
    try:
        session = connect(settings, ROLE, settings.cassandra_gbm_analysis_password)
        try:
            return run(session, settings)
        finally:
            session.cluster.shutdown()
    except (UnknownSymbolError, SparkError, LockError, ArgumentError, NothingToTestError) as error:
        return _fail(str(error))
    except ERRORS as error:
        return _fail(f"{settings.cassandra_host}:{settings.cassandra_port}: {explain_error(error)}")
    except KeyboardInterrupt:
        return _fail("The run was interrupted; what it had not finished is missing.")


def _text(result: dict[str, Any]) -> str:
    """Return a backtest's figures as a table."""
    lines = [
        f"{'symbol':<20}{'model':<9}{'forecasts':>9}{'in 50 %':>9}{'p':>7}{'in 90 %':>9}{'p':>7}"
        f"{'CRPS bp':>9}{'naive':>8}{'skill':>8}{'log score':>11}"
    ]
    for name, figures in {**result["symbols"], "overall": result["overall"]}.items():
        for model, one in (("forecast", figures), ("plain", figures["plain"])):
            skill = "" if one["skill"] is None else f"{one['skill']:.3f}"
            lines.append(
                f"{name:<20}{model:<9}{one['forecasts']:>9}{one['inside_50']:>9.1%}{one['kupiec_50']:>7.3f}"
                f"{one['inside_90']:>9.1%}{one['kupiec_90']:>7.3f}{one['crps']:>9.2f}{one['naive_crps']:>8.2f}"
                f"{skill:>8}{one['log_score']:>11.3f}"
            )
    return "\n".join(lines)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _report(line: str) -> None:
    print(line, flush=True)


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1
