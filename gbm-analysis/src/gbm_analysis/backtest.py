"""A walk of the forecast over bars of the past: pure, and each step sees only what was known at its time."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple

import numpy as np

from common.bars import BAR_SECONDS
from common.gbm.calibration import Segment
from common.gbm.mixture import PLAIN, Evidence, Mixture
from common.gbm.model import Model
from common.gbm.profile import Profile, SessionBars, learn_profile
from gbm_analysis.planning import Refusal, market_closed, plan_forecast
from gbm_analysis.scoring import Score, actual_prices, closed_form_quantiles, score
from gbm_analysis.sessions import Span, close_after, sample_spans, sessions_before
from gbm_analysis.settings import GbmSettings

# How near to its opening and its close a session must have bars to count as whole.
EDGE_SECONDS = 1800.0

Profiles = Callable[[str, datetime], Profile | None]


class History(NamedTuple):
    """A symbol's priced bars: starts in seconds since the epoch, and closes."""

    symbol: str
    asset_class: str
    calendar: str
    bars: Segment


class Trial(NamedTuple):
    """A forecast of the plain model, and what came `seconds` after it."""

    symbol: str
    asset_class: str
    at: datetime
    seconds: float
    model: Model
    actual: float

    @property
    def target(self) -> datetime:
        """Return the time from which the outcome is known."""
        return self.at + timedelta(seconds=self.seconds)


class Judged(NamedTuple):
    """A trial with the mixture that had been learnt by its time, and its score."""

    trial: Trial
    mixture: Mixture
    score: Score


def walk_times(
    calendar: str, start: datetime, end: datetime, every: timedelta, horizon: timedelta
) -> list[datetime]:
    """Return the multiples of `every` whose whole horizon lies between `start`, `end` and the next close."""
    seconds = every.total_seconds()
    first = int(-(-start.timestamp() // seconds))
    last = int((end - horizon).timestamp() // seconds)
    moments = (datetime.fromtimestamp(number * seconds, UTC) for number in range(first, last + 1))
    return [at for at in moments if (close := close_after(calendar, at)) and at + horizon <= close]


def try_forecast(
    settings: GbmSettings, history: History, at: datetime, profile: Profile | None = None
) -> Trial | Refusal | None:
    """Forecast as the job would have done at `at`, from the bars that had ended; None without an outcome."""
    close = close_after(history.calendar, at)
    if close is None:
        return market_closed(history.calendar, at)
    spans = sample_spans(history.calendar, at, timedelta(hours=settings.gbm_sample_hours))
    plan = plan_forecast(
        settings,
        symbol=history.symbol,
        calendar=history.calendar,
        at=at,
        close=close,
        sample=[bars_between(history.bars, span) for span in spans],
        profile=profile,
    )
    if isinstance(plan, Refusal):
        return plan
    seconds = float(plan.seconds[-1])
    actual = float(actual_prices(history.bars, np.array([at.timestamp() + seconds]))[0])
    if np.isnan(actual):
        return None
    return Trial(history.symbol, history.asset_class, at, seconds, plan.model, actual)


def judge(trials: Sequence[Trial], *, plain: bool = False) -> list[Judged]:
    """Score trials in the order of their times, each with what its asset class had taught by then.

    `plain` leaves the mixture away.
    """
    evidence: dict[str, Evidence] = defaultdict(Evidence)
    outcomes = sorted(_weighted(trials), key=lambda pair: pair[0].target)
    known = 0
    judged = []
    for trial in sorted(trials, key=lambda trial: (trial.at, trial.symbol)):
        while outcomes[known][0].target <= trial.at:
            earlier, weight = outcomes[known]
            standardised = earlier.model.standardised(earlier.actual, earlier.seconds)
            evidence[earlier.asset_class].add(standardised, weight)
            known += 1
        mixture = PLAIN if plain else evidence[trial.asset_class].mixture()
        model = replace(trial.model, mixture=mixture)
        quantiles = closed_form_quantiles(model, trial.seconds)
        judged.append(Judged(trial, mixture, score(model, trial.seconds, quantiles, trial.actual)))
    return judged


def outcome_weight(gap: float, horizon: float) -> float:
    """Return the weight of an outcome that comes `gap` seconds after the symbol's last one.

    Forecasts that overlap share what came, and together they count as the time that they cover.
    """
    return min(1.0, gap / horizon)


def profiles(histories: Sequence[History]) -> Profiles:
    """Return a function of calendar and time: the profile of the whole sessions that had ended by then."""

    @cache
    def of_sessions(calendar: str, sessions: tuple[Span, ...]) -> Profile | None:
        return learn_profile(
            [
                whole
                for history in histories
                if history.calendar == calendar
                for session in sessions
                if (whole := whole_session(history.bars, session))
            ]
        )

    return lambda calendar, at: of_sessions(calendar, tuple(sessions_before(calendar, at)))


def whole_session(bars: Segment, session: Span) -> SessionBars | None:
    """Return a session's bars; None where they do not reach from near its opening to near its close."""
    inside = bars_between(bars, session)
    opening, closing = session.start.timestamp(), session.end.timestamp()
    if len(inside.times) == 0:
        return None
    if inside.times[0] - opening > EDGE_SECONDS or closing - inside.times[-1] > EDGE_SECONDS:
        return None
    return SessionBars(opening, closing, inside)


def bars_between(bars: Segment, span: Span) -> Segment:
    """Return the bars that lie within a span as a whole."""
    first = np.searchsorted(bars.times, span.start.timestamp())
    last = np.searchsorted(bars.times, span.end.timestamp() - BAR_SECONDS, side="right")
    return Segment(bars.times[first:last], bars.prices[first:last])


def _weighted(trials: Sequence[Trial]) -> list[tuple[Trial, float]]:
    """Return each trial with the weight of its outcome."""
    before: dict[str, Trial] = {}
    weighted = []
    for trial in sorted(trials, key=lambda trial: trial.at):
        last = before.get(trial.symbol)
        gap = trial.seconds if last is None else (trial.target - last.target).total_seconds()
        weighted.append((trial, outcome_weight(max(gap, 0.0), trial.seconds)))
        before[trial.symbol] = trial
    return weighted
