"""The track record: verdicts in words, figures over time, the worst misses, a backtest's result."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from streamlit_pages import formats
from streamlit_pages.candles import Floats, Times
from streamlit_pages.store import Figures, Judgement, Score, to_datetime64

FEW_FORECASTS = 20
SIGNIFICANCE = 0.05


class BacktestError(ValueError):
    """A text is no result of a backtest; the message says why in a sentence."""


class Running(NamedTuple):
    """Figures of all forecasts up to each, all (forecasts,).

    Skill is 1 - CRPS / CRPS of the other; NaN while the other's is 0, or where it was not stored.
    """

    times: Times
    inside_50: Floats
    inside_90: Floats
    naive_skill: Floats
    plain_skill: Floats


class Miss(NamedTuple):
    """A symbol's forecast and its score."""

    symbol: str
    score: Score


def coverage_verdict(inside: float, share: float, p_value: float, forecasts: int) -> str:
    """Return what Kupiec's test says of a band that should hold `share` of the outcomes."""
    if forecasts < FEW_FORECASTS:
        return "too few to tell"
    if p_value >= SIGNIFICANCE:
        return "as it should be"
    return "too wide" if inside > share else "too narrow"


def describe(judgement: Judgement) -> str:
    """Return the track record in two sentences, the second about what cannot be told from it."""
    figures = judgement.forecast
    sentence = (
        f"Of {figures.forecasts:,} scored forecasts, {formats.percent(figures.inside_90)} ended inside their "
        f"90 % band and {formats.percent(figures.inside_50)} inside their 50 % band."
    )
    if figures.forecasts < FEW_FORECASTS:
        return f"{sentence} This record is too short to tell a good forecast from luck."
    p_values = f"(Kupiec p = {figures.kupiec_90:.2f} and {figures.kupiec_50:.2f})"
    wrong = [
        f"the {share:.0%} band is {verdict}"
        for share, inside, p_value in (
            (0.9, figures.inside_90, figures.kupiec_90),
            (0.5, figures.inside_50, figures.kupiec_50),
        )
        if (verdict := coverage_verdict(inside, share, p_value, figures.forecasts)).startswith("too")
    ]
    if wrong:
        return f"{sentence} Chance does not explain that: {' and '.join(wrong)} {p_values}."
    return f"{sentence} Chance explains the difference from 90 % and 50 % {p_values}."


def skill(figures: Figures, reference: float) -> float:
    """Return by which share the CRPS is below a reference's; NaN where that is 0."""
    return 1 - figures.crps / reference if reference > 0 else float("nan")


def running(scores: Sequence[Score]) -> Running:
    """Return the figures up to each of some scores, which are in the order of time."""
    count = np.arange(1, len(scores) + 1)
    spots = np.array([score.spot or np.nan for score in scores])
    own, naive, plain = (
        np.array([np.nan if value is None else value for value in values]) / spots
        for values in zip(
            *((score.crps, score.naive_absolute_error, score.plain_crps) for score in scores), strict=True
        )
    )
    return Running(
        times=np.array([to_datetime64(score.forecast_time) for score in scores]),
        inside_50=np.cumsum([score.inside_50 for score in scores]) / count,
        inside_90=np.cumsum([score.inside_90 for score in scores]) / count,
        naive_skill=_running_skill(own, naive),
        plain_skill=_running_skill(own, plain),
    )


def worst_misses(misses: Sequence[Miss], count: int) -> list[Miss]:
    """Return the forecasts whose outcome was the most standard deviations away, the farthest first."""
    known = [miss for miss in misses if miss.score.standardised is not None]
    return sorted(known, key=lambda miss: -abs(miss.score.standardised or 0.0))[:count]


def read_backtest(text: str) -> tuple[Judgement, ...]:
    """Read what `./market backtest --json` printed; raise BacktestError where it is something else."""
    try:
        result = json.loads(text)
        names = {"overall": {"all": result["overall"]}, "symbol": result["symbols"]}
        return tuple(
            Judgement(scope, name, None, None, _figures(entry), _figures(entry["plain"]))
            for scope, entries in names.items()
            for name, entry in entries.items()
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BacktestError(
            "This file is not the result of a backtest; `./market backtest --json > backtest.json` makes one."
        ) from error


def _figures(entry: dict[str, Any]) -> Figures:
    values: dict[str, Any] = {name: float(entry[name]) for name in Figures._fields[:-1]}
    bins = tuple(map(int, entry["pit_histogram"]))
    return Figures(**{**values, "forecasts": int(values["forecasts"]), "pit_histogram": bins})


def _running_skill(own: Floats, reference: Floats) -> Floats:
    known = np.isfinite(own) & np.isfinite(reference)
    sums, references = (np.cumsum(np.where(known, values, 0.0)) for values in (own, reference))
    result: Floats = np.full(len(own), np.nan)
    np.divide(sums, references, out=result, where=references > 0)
    return 1 - result
