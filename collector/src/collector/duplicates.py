"""Frames that come twice."""

from collections import deque
from collections.abc import Iterable

WINDOW_SECONDS = 60.0
MAX_FRAMES = 100_000  # about 12 MB


class DuplicateDetector:
    """Notices frames that come again within a minute; remembers a limited number of them by their hash."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}
        self._order: deque[tuple[float, int]] = deque()

    def count_repeats(self, frames: Iterable[bytes], now: float) -> int:
        """Return how many of the frames came within the last minute, and remember all; `now` in seconds."""
        order, seen = self._order, self._seen
        while order and order[0][0] < now - WINDOW_SECONDS:
            self._forget_oldest()
        repeats = 0
        for key in map(hash, frames):
            if key in seen:
                repeats += 1
            seen[key] = now
            order.append((now, key))
        while len(order) > MAX_FRAMES:
            self._forget_oldest()
        return repeats

    def _forget_oldest(self) -> None:
        seen_at, key = self._order.popleft()
        if self._seen.get(key) == seen_at:
            del self._seen[key]
