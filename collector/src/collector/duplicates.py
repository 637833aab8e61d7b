"""Frames that come twice."""

from collections import deque

WINDOW_SECONDS = 60.0
MAX_FRAMES = 100_000  # about 12 MB


class DuplicateDetector:
    """Notices frames that come again within a minute; remembers a limited number of them by their hash."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}
        self._order: deque[tuple[float, int]] = deque()

    def is_repeat(self, frame: bytes, now: float) -> bool:
        """Return whether the same frame came within the last minute, and remember it; `now` in seconds."""
        order, seen = self._order, self._seen
        while order and (order[0][0] < now - WINDOW_SECONDS or len(order) >= MAX_FRAMES):
            old_time, old = order.popleft()
            if seen.get(old) == old_time:
                del seen[old]
        key = hash(frame)
        repeat = key in seen
        seen[key] = now
        order.append((now, key))
        return repeat
