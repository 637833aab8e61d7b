"""The time of day: a known pattern is found, and undone."""

import math

import numpy as np
import pytest

from common.gbm.calibration import Segment, calibrate
from common.gbm.profile import Profile, SessionBars, learn_profile

YEAR = 5_896_800.0
LENGTH = 23_400.0
PATTERN = np.array([2.5, 1.6, 1.2, 0.9, 0.7, 0.6, 0.5, 0.5, 0.6, 0.7, 0.8, 1.0, 1.4])
PATTERN /= PATTERN.mean()


def session(number: int, seed: int, volatility: float = 0.4) -> SessionBars:
    """Return a session's bars with the pattern."""
    opening = 1_000_000.0 + number * 86_400
    times = np.arange(0, LENGTH, 5.0)
    variances = volatility**2 * PATTERN[(times // 1800).astype(int)] * 5 / YEAR
    steps = np.random.default_rng(seed).standard_normal(len(times)) * np.sqrt(variances)
    return SessionBars(opening, opening + LENGTH, Segment(opening + times, 50 * np.exp(np.cumsum(steps))))


def test_fewer_than_three_sessions_have_no_profile() -> None:
    two = [session(0, 1), session(0, 2), session(1, 3), session(1, 4)]
    assert learn_profile([]) is None
    assert learn_profile(two) is None
    assert learn_profile([*two, session(2, 5)]) is not None


def test_sessions_whose_price_stood_still_have_no_profile() -> None:
    still = [
        SessionBars(start, start + LENGTH, Segment(start + np.arange(0, LENGTH, 5.0), np.full(4680, 9.0)))
        for start in (0.0, 86_400.0, 172_800.0)
    ]
    assert learn_profile(still) is None


def test_a_pattern_is_found_and_shrunk_by_three_sessions_of_none() -> None:
    sessions = [
        session(number, 10 * number + symbol, 0.2 + 0.2 * symbol)
        for number in range(9)
        for symbol in range(3)
    ]
    found = learn_profile(sessions)
    assert found is not None
    assert len(found.factors) == 13
    assert np.mean(found.factors) == pytest.approx(1)
    expected = (9 * PATTERN + 3) / 12
    # 27 sessions of 30 minutes each: the error of a slot's variance is sqrt(2 / 810) of it.
    assert np.all(np.abs(np.array(found.factors) / expected - 1) < 4.5 * math.sqrt(2 / 810))


def test_the_pattern_is_the_share_of_squared_returns_inside_the_session() -> None:
    """Two slots whose returns differ by a factor of 2, and wilder prices outside of the session."""
    opening, closing = 86_400.0, 90_000.0
    times = np.arange(opening - 3600, closing + 3600, 60.0) + 30
    sizes = np.select(
        [times < opening, times < opening + 1800, times < closing], [9e-4, 2e-4, 1e-4], default=9e-4
    )
    prices = 70 * np.exp(np.cumsum(sizes * np.resize([1, -1], len(times))))
    days = [SessionBars(opening + day, closing + day, Segment(times + day, prices)) for day in (0, 1e5, 2e5)]
    found = learn_profile(days)
    assert found is not None
    # Squares of 4 to 1 are 1.6 and 0.4 of their average; three sessions and three of no pattern.
    assert found.factors == pytest.approx((1.3, 0.7), rel=1e-9)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_session_with_hardly_any_price_has_no_pattern(count: int) -> None:
    times = np.arange(count) * 60.0
    days = [
        SessionBars(day, day + LENGTH, Segment(day + times, 50 + 0.1 * np.arange(count)))
        for day in (0.0, 86_400.0, 172_800.0)
    ]
    found = learn_profile(days)
    if count < 2:
        assert found is None
    else:
        assert found is not None
        assert found.factors == pytest.approx([7.0] + [0.5] * 12)


def test_a_wild_session_counts_as_much_as_a_calm_one() -> None:
    calm = [session(number, number, 0.3) for number in range(3)]
    wild = [*calm[:2], SessionBars(*calm[2][:2], Segment(calm[2].bars.times, calm[2].bars.prices ** 3))]
    one, other = learn_profile(calm), learn_profile(wild)
    assert one is not None
    assert other is not None
    assert other.factors == pytest.approx(one.factors, rel=1e-6)


def test_volatility_seconds_pass_at_the_pace_of_the_slot() -> None:
    profile = Profile((2.0, 0.5, 0.5))
    assert profile.passed(np.array([-60.0, 0.0, 900.0, 1800.0, 3600.0, 5400.0, 5500.0])).tolist() == [
        -60.0, 0.0, 1800.0, 3600.0, 4500.0, 5400.0, 5500.0,
    ]  # fmt: skip


def test_the_clock_counts_from_the_forecast() -> None:
    clock = Profile((2.0, 0.5, 0.5)).clock(10_900.0, 10_000.0, np.array([900.0, 2700.0]))
    assert clock.seconds == (900.0, 2700.0)
    assert clock.passed == (1800.0, 2700.0)


@pytest.mark.parametrize("factors", [(), (1.0, 0.0), (1.0, -1.0)])
def test_a_profile_that_cannot_be_is_refused(factors: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="factors above 0"):
        Profile(factors)


def test_the_volatility_of_any_hour_is_that_of_the_day_once_the_pattern_is_undone() -> None:
    profile = Profile(tuple(PATTERN.tolist()))
    day = session(0, 77, 0.4)
    for start, end in ((0.0, 3600.0), (10_800.0, 14_400.0)):
        inside = (day.bars.times >= day.opening + start) & (day.bars.times < day.opening + end)
        hour = Segment(day.bars.times[inside], day.bars.prices[inside])
        found = calibrate([profile.warp(hour, day.opening)], YEAR)
        assert abs(found.volatility - 0.4) < 3 * found.volatility_stderr
        assert abs(calibrate([hour], YEAR).volatility - 0.4) > 5 * found.volatility_stderr
