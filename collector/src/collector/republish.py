"""Publish journals again, under the ids their trades already have."""

import logging
import threading
from collections import deque
from datetime import UTC, datetime

from collector.journal import JournalError, journal_ids, read_lines
from collector.publisher import Batch, FrameProducer, InterruptedPublishError, PublishError
from collector.settings import CollectorSettings
from common.identity import journal_started_ms
from common.recording import decode

log = logging.getLogger(__name__)

PROBE_SECONDS = 15.0
FLUSH_SECONDS = 120.0
LINES_PER_BATCH = 1000


def parse_moment(text: str) -> datetime:
    """Read an ISO 8601 moment; without a zone it is UTC. Raise JournalError when it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise JournalError(f"{text} was not a time such as 2026-01-31 or 2026-01-31T14:30:00Z.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def republish(
    settings: CollectorSettings, start: datetime | None, end: datetime | None, stopping: threading.Event
) -> int:
    """Send every journaled frame received in [start, end) to Kafka again; return the number of trades.

    Raises JournalError or PublishError when there is nothing to read or Kafka does not take it.
    """
    folder = settings.market_home / "journal"
    if not folder.is_dir():
        raise JournalError(f"There was no journal in {folder}.")
    start_ms = int(start.timestamp() * 1000) if start else None
    end_ms = int(end.timestamp() * 1000) if end else None
    producer = FrameProducer(settings, stopping)
    if not producer.probe(PROBE_SECONDS):
        raise PublishError(f"Kafka did not answer at {settings.bootstrap_servers}.")
    batches: deque[Batch] = deque()
    trades = 0

    def settle() -> int:
        settled = 0
        while batches and batches[0].outstanding == 0:
            batch = batches.popleft()
            if batch.error is not None:
                raise PublishError(f"Kafka refused a message: {batch.error.str()}.")
            settled += batch.trades
        return settled

    for journal in journal_ids(folder):
        if end_ms is not None and journal_started_ms(journal) >= end_ms:
            break
        for line_number, line in enumerate(read_lines(folder, journal), start=1):
            if (start_ms is not None or end_ms is not None) and not _within(line, start_ms, end_ms):
                continue
            if line_number % LINES_PER_BATCH == 1 or not batches:
                batches.append(Batch())
            try:
                producer.send(journal, line_number, line, batches[-1])
            except InterruptedPublishError:
                raise PublishError("The journal was published in part only: it was interrupted.") from None
            producer.poll()
        trades += settle()
        log.info("published %s again", journal)
    left = producer.flush(FLUSH_SECONDS)
    if left:
        raise PublishError(
            f"Kafka did not take {left} messages within {FLUSH_SECONDS:.0f} s; start it again."
        )
    return trades + settle()


def _within(line: bytes, start_ms: int | None, end_ms: int | None) -> bool:
    try:
        received_ms = decode(line).received_ms
    except ValueError:
        return True
    return (start_ms is None or received_ms >= start_ms) and (end_ms is None or received_ms < end_ms)
