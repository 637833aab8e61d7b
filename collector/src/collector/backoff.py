"""How long to wait before the next attempt."""

import random
from collections.abc import Callable

REFUSED_SECONDS = 900.0  # a token does not become valid by itself; a shorter pause may get it blocked
TOO_MANY_SECONDS = 60.0  # Finnhub counts calls a minute
LONGEST_RETRY_AFTER_SECONDS = 6 * 3600.0  # a server's mistake must not stop the collector for days


class Backoff:
    """Pauses that double up to a limit, each shortened by chance so that many clients do not come at once.

    `uniform` draws the share of the pause that is taken.
    """

    def __init__(
        self, first: float, longest: float, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._first = first
        self._longest = longest
        self._uniform = uniform
        self._next = first

    def next(self, at_least: float | None = None) -> float:
        """Return the next pause in seconds; `at_least` is what the server asked for."""
        pause = self._next * self._uniform(0.5, 1.0)
        self._next = min(self._next * 2, self._longest)
        return pause if at_least is None else max(pause, min(at_least, LONGEST_RETRY_AFTER_SECONDS))

    def reset(self) -> None:
        """Begin with the shortest pause again."""
        self._next = self._first
