"""The limit of every wait for something that makes progress."""

import time
from collections.abc import Hashable

from ops.errors import MarketError
from ops.report import Report

# The longest time in which a stack that works may show no progress: a restart of Kafka or Cassandra, with
# what the services then do again, takes up to a minute.
NO_PROGRESS_SECONDS = 120.0
# A line every few seconds shows that something happens; the same line again is needed less often.
REPORT_SECONDS = 2.0  # pragma: no mutate: now and then
REPEAT_SECONDS = 15.0  # pragma: no mutate: now and then


class StallDetector:
    """Reports progress now and then, and ends a wait in which nothing moved for too long."""

    def __init__(self, stalled: str, report: Report) -> None:
        self._stalled = stalled
        self._report = report
        self._progress: Hashable = None
        self._reported = ""
        self._progress_at = self._reported_at = time.monotonic()

    def update(self, progress: Hashable, sentence: str) -> None:
        """Note how far things are; raise MarketError when that has not changed for too long."""
        now = time.monotonic()
        if progress != self._progress:
            self._progress, self._progress_at = progress, now
        elif now - self._progress_at > NO_PROGRESS_SECONDS:
            raise MarketError(f"{self._stalled} for {NO_PROGRESS_SECONDS:.0f} s: {sentence}.")
        pause = REPEAT_SECONDS if sentence == self._reported else REPORT_SECONDS
        if now - self._reported_at > pause:
            self._report(f"{sentence} ...")
            self._reported_at, self._reported = now, sentence

    def restart(self) -> None:
        """Count the time without progress from now."""
        self._progress_at = time.monotonic()
