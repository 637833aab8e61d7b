"""One run: look back at earlier forecasts, then make the new ones."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import numpy as np

from common.gbm import Forecast, summarise
from gbm_analysis.planning import BAR_SECONDS, Plan, Refusal, market_closed, plan_forecast
from gbm_analysis.scoring import actual_prices, score
from gbm_analysis.sessions import close_after, sample_spans
from gbm_analysis.settings import GbmSettings
from gbm_analysis.simulation import run_tasks, spark_context
from gbm_analysis.store import Past, Store, Symbol, model_of
from gbm_analysis.tasks import tasks_of

ACTIVE = timedelta(days=7)
LOOK_BACK = timedelta(days=1)
# Trades may come late and change a bar; a score older than this stays.
SETTLED = timedelta(hours=1)


class UnknownSymbolError(Exception):
    """Say in one sentence which symbol was never received."""


def choose_symbols(known: Sequence[Symbol], names: Sequence[str], now: datetime) -> list[Symbol]:
    """Return the symbols named, or all that were received in the last seven days."""
    if not names:
        return [symbol for symbol in known if now - symbol.last_seen <= ACTIVE]
    by_name = {symbol.name: symbol for symbol in known}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        received = f"received were {', '.join(by_name)}" if by_name else "nothing was received yet"
        raise UnknownSymbolError(f"The symbol {unknown[0]} was never received; {received}.")
    return [by_name[name] for name in dict.fromkeys(names)]


def run(
    store: Store,
    settings: GbmSettings,
    *,
    names: Sequence[str],
    scheduled: bool,
    now: datetime,
    report: Callable[[str], None],
) -> None:
    """Forecast as of now, or `scheduled`: as of the full hour, where what is there already stays untouched.

    Reports one line for each symbol. Raises UnknownSymbolError before anything is written.
    """
    at = now.replace(minute=0, second=0, microsecond=0) if scheduled else now.replace(microsecond=0)
    symbols = choose_symbols(store.symbols(), names, now)
    if not symbols:
        report("No symbols were received yet: there was nothing to forecast.")
    plans: dict[str, Plan] = {}
    for symbol in symbols:
        status = store.status(symbol.name, at)
        if scheduled and status is not None and status[0] == "ok":
            report(f"{symbol.name}: the forecast of {at:%Y-%m-%d %H:%M} UTC was there already")
            continue
        plan = _plan(store, settings, symbol, at)
        if isinstance(plan, Plan):
            plans[symbol.name] = plan
        elif status != (plan.status, plan.reason):
            store.write_refusal(symbol.name, at, plan)
        look_back(store, symbol.name, now, timedelta(seconds=settings.gbm_horizon_seconds))
        if isinstance(plan, Refusal):
            report(f"{symbol.name}: {plan.status}. {plan.reason}")
    for name, forecast in _simulate(settings, plans).items():
        store.write_forecast(name, at, plans[name], forecast)
        report(f"{name}: {_summary(plans[name], forecast)}")


def look_back(store: Store, symbol: str, now: datetime, horizon: timedelta) -> None:
    """Fill in the actual prices of earlier forecasts, and score those whose last target has passed."""
    for past in store.past(symbol, now - horizon - LOOK_BACK, now):
        if past.score is None or past.forecast_time >= now - horizon - SETTLED:
            _compare(store, symbol, past, now)


def _compare(store: Store, symbol: str, past: Past, now: datetime) -> None:
    targets = store.targets(symbol, past.forecast_time)
    passed = [target for target in targets if target.time <= now]
    if not passed:
        return
    first, last = past.forecast_time - timedelta(minutes=1), passed[-1].time + timedelta(seconds=BAR_SECONDS)
    times = np.array([target.time.timestamp() for target in passed])
    prices = actual_prices(store.bars(symbol, first, last), times)
    filled = [
        target._replace(actual=None if np.isnan(price) else float(price))
        for target, price in zip(passed, prices, strict=True)
    ]
    changed = [new for new, old in zip(filled, passed, strict=True) if new.actual not in (None, old.actual)]
    store.write_targets(symbol, past.forecast_time, changed)
    end = filled[-1]
    if len(passed) == len(targets) and end.actual is not None:
        found = score(model_of(past, end.spot), end.seconds, end.quantiles, end.actual)
        if found != past.score:
            store.write_score(symbol, past.forecast_time, found)


def _plan(store: Store, settings: GbmSettings, symbol: Symbol, at: datetime) -> Plan | Refusal:
    close = close_after(symbol.calendar, at)
    if close is None:
        return market_closed(symbol.calendar, at)
    spans = sample_spans(symbol.calendar, at, timedelta(hours=settings.gbm_sample_hours))
    sample = [store.bars(symbol.name, span.start, span.end) for span in spans]
    return plan_forecast(
        settings, symbol=symbol.name, calendar=symbol.calendar, at=at, close=close, sample=sample
    )


def _simulate(settings: GbmSettings, plans: dict[str, Plan]) -> dict[str, Forecast]:
    if not plans:
        return {}
    tasks = [
        task
        for name, plan in plans.items()
        for task in tasks_of(name, plan.seconds, plan.seed, settings.gbm_paths)
    ]
    with spark_context(settings) as context:
        tallies = run_tasks(context, tasks)
    return {name: summarise(plan.model, plan.seconds, tallies[name]) for name, plan in plans.items()}


def _summary(plan: Plan, forecast: Forecast) -> str:
    low, median, high = (forecast.quantiles[-1][index] for index in (0, 2, 4))
    return (
        f"ok. {plan.model.spot:.6g} now; in {forecast.seconds[-1] / 60:.0f} minutes {median:.6g}, "
        f"with 90 % between {low:.6g} and {high:.6g}; volatility {plan.model.volatility:.0%} a year "
        f"+- {plan.calibration.volatility_stderr:.0%}"
    )
