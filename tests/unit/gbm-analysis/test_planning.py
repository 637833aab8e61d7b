"""What becomes of a symbol's bars: a plan, or a reason that a reader can use."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydantic import SecretStr

from common.gbm.calibration import Segment
from common.gbm.model import STEADY
from common.gbm.profile import Profile
from gbm_analysis.planning import Plan, Refusal, market_closed, plan_forecast, seed_of
from gbm_analysis.settings import GbmSettings

AT = datetime(2026, 11, 24, 15, tzinfo=UTC)
SETTINGS = GbmSettings(cassandra_gbm_analysis_password=SecretStr("secret"))


def bars(end: datetime, minutes: float, seed: int = 1) -> Segment:
    """Return bars of the minutes before `end`."""
    count = round(minutes * 12)
    steps = np.random.default_rng(seed).normal(0, 0.6 * math.sqrt(5 / 31_557_600), count)
    return Segment(end.timestamp() - 5.0 * np.arange(count, 0, -1), 100 * np.exp(np.cumsum(steps)))


def plan(*sample: Segment, calendar: str = "24/7", hours_to_close: float = 24) -> Plan | Refusal:
    close = AT + timedelta(hours=hours_to_close)
    return plan_forecast(SETTINGS, symbol="TEST", calendar=calendar, at=AT, close=close, sample=sample)


def assert_finite(found: Plan | Refusal, *, observations: int) -> None:
    assert isinstance(found, Plan)
    assert found.calibration.observations == observations
    assert all(math.isfinite(value) for value in vars(found.calibration).values())
    assert found.calibration.volatility > 0
    quantiles = [found.model.quantile(share, 3600) for share in (0.05, 0.5, 0.95)]
    assert 0 < quantiles[0] < quantiles[1] < quantiles[2] < math.inf


def test_fifteen_minutes_suffice() -> None:
    found = plan(bars(AT, 15))
    assert isinstance(found, Plan)
    assert found.sample_start == AT - timedelta(minutes=15)
    assert found.sample_end == AT
    assert found.calibration.observations == 179
    assert found.model.spot == bars(AT, 15).prices[-1]
    assert found.seconds.tolist() == [60.0 * minute for minute in range(1, 61)]


def test_less_than_fifteen_minutes_are_insufficient() -> None:
    found = plan(bars(AT, 14))
    assert found == Refusal("insufficient", "Bars of 15 minutes are needed, and the last 6 hours held 14.0.")


def test_no_bars_are_insufficient() -> None:
    found = plan(Segment(np.empty(0), np.empty(0)))
    assert found == Refusal("insufficient", "Bars of 15 minutes are needed, and the last 6 hours held 0.0.")


def test_time_between_sessions_does_not_count_as_bars() -> None:
    found = plan(bars(AT - timedelta(hours=18), 7), bars(AT, 7), calendar="XNYS")
    assert isinstance(found, Refusal)
    assert found.status == "insufficient"


def test_an_old_price_is_stale() -> None:
    found = plan(bars(AT - timedelta(minutes=16), 60))
    assert found == Refusal(
        "stale", "The last price was of 2026-11-24 14:44:00 UTC, over 15 minutes before the forecast."
    )


def test_a_price_of_fifteen_minutes_ago_is_no_older_than_allowed() -> None:
    assert isinstance(plan(bars(AT - timedelta(minutes=15), 60)), Plan)


def test_a_profile_warps_the_sample_and_sets_the_clock() -> None:
    """From 14:30 time passes four times as fast, from 15:00 half as fast: the volatility is half."""
    sample = [bars(AT, 30)]
    profile = Profile((4.0, *[0.5] * 12))
    settings = {"symbol": "TEST", "calendar": "XNYS", "at": AT, "close": AT + timedelta(hours=6)}
    without, found = (
        plan_forecast(SETTINGS, sample=sample, profile=one, **settings) for one in (None, profile)
    )
    assert isinstance(without, Plan)
    assert isinstance(found, Plan)
    assert found.calibration.volatility == pytest.approx(without.calibration.volatility / 2, rel=1e-9)
    assert found.model.clock.seconds == tuple(found.seconds)
    assert found.model.clock.passed == pytest.approx(found.seconds / 2)
    assert without.model.clock == STEADY


def test_around_the_clock_there_is_no_profile() -> None:
    settings = {"symbol": "TEST", "calendar": "24/7", "at": AT, "close": AT + timedelta(hours=6)}
    profile = Profile((4.0, *[0.5] * 12))
    one, other = (
        plan_forecast(SETTINGS, sample=[bars(AT, 30)], profile=profile, **settings)
        for profile in (None, profile)
    )
    assert isinstance(one, Plan)
    assert isinstance(other, Plan)
    assert (one.calibration, one.model) == (other.calibration, other.model)


def test_a_price_that_never_moved_is_insufficient() -> None:
    flat = bars(AT, 20)
    found = plan(Segment(flat.times, np.full(len(flat.times), 7.0)))
    assert found == Refusal(
        "insufficient", "The bars do not tell the volatility: the price did not change in 180 bars."
    )


@pytest.mark.parametrize("rate", [1e-6, 1e-4, -1e-3])
def test_prices_on_a_line_of_logarithms_are_insufficient(rate: float) -> None:
    times = bars(AT, 20).times
    found = plan(Segment(times, 100 * np.exp(rate * np.arange(len(times)))))
    assert found == Refusal("insufficient", "The bars do not tell the volatility: 180 prices lay on a line.")


@pytest.mark.parametrize("tick", [0.01, -0.01, 1.0])
def test_a_price_that_rises_by_the_same_amount_is_forecast(tick: float) -> None:
    times = bars(AT, 60).times
    assert_finite(plan(Segment(times, 100 + tick * np.arange(len(times)))), observations=179)


@pytest.mark.parametrize(
    "minutes, reason",
    [(15, "180 prices bounced, but did not move"), (60, "the price did not change in 180 bars")],
)
def test_a_price_that_alternates_is_insufficient(minutes: int, reason: str) -> None:
    times = bars(AT, minutes).times
    found = plan(Segment(times, np.resize([100.0, 100.01], len(times))))
    assert found == Refusal("insufficient", f"The bars do not tell the volatility: {reason}.")


@pytest.mark.parametrize("hours", [1, 3, 5])
def test_a_gap_of_hours_costs_no_forecast(hours: int) -> None:
    whole = bars(AT, 360)
    ago = AT.timestamp() - whole.times
    kept = (ago <= 600) | (ago > 600 + hours * 3600)
    found = plan(Segment(whole.times[kept], whole.prices[kept]))
    assert_finite(found, observations={1: 299, 3: 179, 5: 59}[hours])
    assert isinstance(found, Plan)
    assert abs(found.calibration.volatility - 0.6) < 3 * found.calibration.volatility_stderr


def test_one_bar_after_a_gap_of_hours_is_the_spot() -> None:
    whole = bars(AT, 360)
    kept = np.append(np.arange(720), len(whole.times) - 1)
    found = plan(Segment(whole.times[kept], whole.prices[kept]))
    assert_finite(found, observations=60)
    assert isinstance(found, Plan)
    assert found.model.spot == whole.prices[-1]


def test_one_bar_of_a_new_session_is_the_spot_and_the_night_no_return() -> None:
    yesterday, today = bars(AT - timedelta(hours=18), 60), bars(AT, 1 / 12, seed=2)
    found = plan(yesterday, Segment(today.times, today.prices * 1.3), calendar="XNYS")
    assert_finite(found, observations=180)
    assert isinstance(found, Plan)
    assert found.model.spot == today.prices[0] * 1.3
    assert abs(found.calibration.volatility - 0.6 * math.sqrt(5_896_800 / 31_557_600)) < (
        3 * found.calibration.volatility_stderr
    )


def test_one_bar_is_insufficient() -> None:
    found = plan(bars(AT, 1 / 12))
    assert found == Refusal("insufficient", "Bars of 15 minutes are needed, and the last 6 hours held 0.1.")


def test_two_bars_that_are_hours_apart_are_insufficient() -> None:
    whole = bars(AT, 360)
    found = plan(Segment(whole.times[[0, -1]], whole.prices[[0, -1]]))
    assert found == Refusal(
        "insufficient",
        "The bars do not tell the volatility: 1 price changes were found, but at least 3 are needed.",
    )


def test_no_forecast_crosses_the_close() -> None:
    found = plan(bars(AT, 20), calendar="XNYS", hours_to_close=0.125)
    assert isinstance(found, Plan)
    assert found.seconds.tolist() == [60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 420.0, 450.0]
    assert found.model.seconds_per_year == 5_896_800


def test_a_closed_market_says_when_it_opens() -> None:
    assert market_closed("XNYS", datetime(2026, 11, 28, 12, tzinfo=UTC)) == Refusal(
        "closed", "The market was closed; XNYS opens at 2026-11-30 14:30:00 UTC."
    )


def test_seeds_differ_by_symbol_and_time_and_fit_a_json_number() -> None:
    seeds = {seed_of(symbol, AT + timedelta(hours=hour)) for symbol in ("A", "B") for hour in range(50)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**48 for seed in seeds)
    assert seed_of("A", AT) == seed_of("A", AT)


@pytest.mark.parametrize("step, horizon", [(7200, 3600), (1, 3600)])
def test_settings_refuse_too_few_and_too_many_steps(step: int, horizon: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 1000 steps"):
        GbmSettings(
            cassandra_gbm_analysis_password=SecretStr("x"), gbm_step_seconds=step, gbm_horizon_seconds=horizon
        )
