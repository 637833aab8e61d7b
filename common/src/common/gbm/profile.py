"""The time of day: how a session's volatility is spread over its hours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from common.gbm import Floats
from common.gbm.calibration import Segment, closes
from common.gbm.model import Clock

MIN_SESSIONS = 3
SLOT_SECONDS = 1800.0
# Each slot is averaged with this many sessions of no pattern, so that few sessions say little.
PRIOR_SESSIONS = 3.0


class SessionBars(NamedTuple):
    """One symbol's prices of a whole session, from `opening` to `closing` (seconds since the epoch)."""

    opening: float
    closing: float
    bars: Segment


@dataclass(frozen=True)
class Profile:
    """The variance of each half hour after the opening, relative to the session's average.

    What lies outside of the session passes at the average pace.
    """

    factors: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.factors or min(self.factors) <= 0:
            raise ValueError("a profile needs factors above 0")

    def passed(self, seconds: Floats) -> Floats:
        """Return the seconds of average volatility from the opening until `seconds` after it."""
        ends = np.concatenate([[0.0], np.cumsum(self.factors)]) * SLOT_SECONDS
        slots = np.arange(len(ends)) * SLOT_SECONDS
        inside: Floats = np.interp(seconds, slots, ends)
        outside: Floats = np.minimum(seconds, 0) + np.maximum(seconds - slots[-1], 0)
        return inside + outside

    def warp(self, segment: Segment, opening: float) -> Segment:
        """Return prices of a session at the times of a day without a pattern."""
        return Segment(opening + self.passed(segment.times - opening), segment.prices)

    def clock(self, at: float, opening: float, seconds: Floats) -> Clock:
        """Return the clock of a forecast made at `at`, at the times `seconds` ahead."""
        start = self.passed(np.array([at - opening]))
        passed = self.passed(at - opening + seconds) - start
        return Clock(tuple(seconds.tolist()), tuple(passed.tolist()))


def learn_profile(sessions: Sequence[SessionBars]) -> Profile | None:
    """Return the average pattern of whole sessions of all symbols; None where they are too few.

    Each session of a symbol counts the same, however volatile it was: the squared returns of its minutes,
    over their average. Taylor and Xu (1997), J. Empir. Finance 4, 317-340.
    """
    openings = {session.opening for session in sessions}
    shares = [share for share in map(_shares, sessions) if share is not None]
    if len(openings) < MIN_SESSIONS or not shares:
        return None
    slots = max(map(len, shares))
    whole = np.array([share for share in shares if len(share) == slots])
    # Symbols of one session move together, so that they count as one.
    weight = len(openings)
    factors = whole.mean(axis=0) * weight + PRIOR_SESSIONS
    factors /= factors.mean()
    return Profile(tuple(factors.tolist()))


def _shares(session: SessionBars) -> Floats | None:
    """Return each slot's variance over the session's average; None where prices did not move."""
    times, prices = closes(session.bars)
    slots = round((session.closing - session.opening) / SLOT_SECONDS)
    places = ((times[1:] - session.opening) / SLOT_SECONDS).astype(np.intp)
    inside = (times[1:] >= session.opening) & (places < slots)
    squares = np.bincount(places[inside], np.diff(np.log(prices))[inside] ** 2, minlength=slots)
    total = squares.sum()
    return None if total == 0 else squares / total * slots
