"""Publish journals again, under the ids their trades already have."""

import logging
import threading
import time
from collections import deque
from datetime import datetime

from collector.journal import JournalError, journal_ids, read_lines
from collector.producer import Batch, FrameProducer, InterruptedPublishError, PublishError, check_delivered
from collector.settings import CollectorSettings
from common import moments
from common.recording import decode

log = logging.getLogger(__name__)

PROBE_SECONDS = 15.0
NO_PROGRESS_SECONDS = 120.0
# Between looks at whether the process is to end.
FLUSH_SECONDS = 0.5
LINES_PER_BATCH = 1000


def parse_moment(text: str) -> datetime:
    """Read a moment; raise JournalError when it is none."""
    try:
        return moments.parse_moment(text)
    except ValueError as error:
        raise JournalError(str(error)) from None


def republish(
    settings: CollectorSettings, start: datetime | None, end: datetime | None, stopping: threading.Event
) -> int:
    """Send every journaled frame received in [start, end) to Kafka again; return the number of trades.

    Raises JournalError or PublishError when there is nothing to read, when a journal is damaged (after what
    can be read of all), or when Kafka does not take it or the process is to end (after a part).
    """
    folder = settings.market_home / "journal"
    if not folder.is_dir():
        raise JournalError(f"There was no journal in {folder}.")
    start_ms = int(start.timestamp() * 1000) if start else None
    end_ms = int(end.timestamp() * 1000) if end else None
    producer = FrameProducer(settings, stopping)
    if not producer.probe(PROBE_SECONDS):
        raise PublishError(f"Kafka did not answer at {settings.bootstrap_servers}.")
    run = _Run(producer, stopping)
    damaged: list[str] = []
    try:
        # All journals are looked into, whatever their names say: a clock may have been wrong.
        for journal in journal_ids(folder):
            try:
                for line_number, line in enumerate(read_lines(folder, journal), start=1):
                    if (start_ms is None and end_ms is None) or _within(line, start_ms, end_ms):
                        run.send(journal, line_number, line)
                log.info("Published %s again.", journal)
            except JournalError as error:
                damaged.append(str(error))
        run.finish()
    except InterruptedPublishError:
        raise PublishError(
            "The journal was published in part only, because the command was ended; start it again."
        ) from None
    if damaged:
        raise JournalError(f"{run.trades} trades were published again, but not all: {' '.join(damaged)}")
    return run.trades


class _Run:
    """One run of the command; `trades` are those that Kafka has taken."""

    def __init__(self, producer: FrameProducer, stopping: threading.Event) -> None:
        self.trades = 0
        self._producer = producer
        self._stopping = stopping
        self._batches = deque([Batch()])
        self._lines = 0

    def send(self, journal: str, line_number: int, line: bytes) -> None:
        """Send a line; raise InterruptedPublishError when the process is to end."""
        if self._stopping.is_set():
            raise InterruptedPublishError
        self._lines += 1
        if self._lines % LINES_PER_BATCH == 0:
            self._batches.append(Batch())
            self._settle()
        self._producer.send(journal, line_number, line, self._batches[-1])
        self._producer.poll()

    def finish(self) -> None:
        """Wait until Kafka has taken everything, or nothing more for too long."""
        self._batches.append(Batch())
        left = -1
        deadline = time.monotonic() + NO_PROGRESS_SECONDS
        while len(self._batches) > 1:
            if self._stopping.is_set():
                raise InterruptedPublishError
            before, left = left, self._producer.flush(FLUSH_SECONDS)
            self._settle()
            if left != before:
                deadline = time.monotonic() + NO_PROGRESS_SECONDS
            elif time.monotonic() > deadline:
                raise PublishError(
                    f"Kafka took none of {left} messages for {NO_PROGRESS_SECONDS:.0f} s; start it again."
                )

    def _settle(self) -> None:
        """Take in what Kafka has acknowledged, but for the last batch."""
        while len(self._batches) > 1 and self._batches[0].outstanding == 0:
            check_delivered(self._batches[0])
            if self._batches[0].refused:
                self._producer.send_refused(self._batches[0])
                break
            self.trades += self._batches.popleft().trades


def _within(line: bytes, start_ms: int | None, end_ms: int | None) -> bool:
    try:
        received_ms = decode(line).received_ms
    except ValueError:
        return True
    return (start_ms is None or received_ms >= start_ms) and (end_ms is None or received_ms < end_ms)
