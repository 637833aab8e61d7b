"""From the journals to Kafka. The journal is the buffer: nothing is lost while Kafka does not answer."""

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from confluent_kafka import KafkaException

from collector.encoding import Event
from collector.journal import Journal, JournalFolder
from collector.line_file import LineFile, Position
from collector.producer import Batch, FrameProducer, InterruptedPublishError, PublishError, check_delivered
from collector.settings import CollectorSettings

log = logging.getLogger(__name__)

# As much as is sent before the acknowledgements are looked at again: some 3,000 trades.
CHUNK_BYTES = 256 * 1024  # pragma: no mutate: about as much
# The longest time until the thread sees that it is to end, or that Kafka is there again.
IDLE_SECONDS = 0.2  # pragma: no mutate: a limit of time
# One round for many frames is cheaper; a tenth of the 50 ms that a trade may take.
GATHER_SECONDS = 0.005  # pragma: no mutate: a limit of time
SAVE_SECONDS = 1.0  # pragma: no mutate: a limit of time
STALLED_SECONDS = 15.0  # pragma: no mutate: a limit of time
# The broker's answer takes milliseconds; a longer wait only delays the end of the process.
PROBE_SECONDS = 1.0  # pragma: no mutate: a limit of time
PROBE_EVERY_SECONDS = 5.0  # pragma: no mutate: a limit of time
# After what Kafka did not take: a topic may be made again, a login be set right.
RETRY_SECONDS = 5.0  # pragma: no mutate: a limit of time
# Together with the end of the receivers (3 s) less than the 8 s after which the process ends itself.
DRAIN_SECONDS = 1.5  # pragma: no mutate: a limit of time
FLUSH_SECONDS = 2.0  # pragma: no mutate: a limit of time
JOIN_SECONDS = 5.0  # pragma: no mutate: a limit of time

_RECEIVED = re.compile(rb'"received_ms":(\d{1,16})')


@dataclass(kw_only=True)
class FileBatch(Batch):
    """The next lines of a file; `end` is the place behind them."""

    end: Position


@dataclass
class FileReader:
    """How far one file is read and, behind that, acknowledged; the batches in between are on their way."""

    file: LineFile
    read: Position
    acked: Position
    saved: Position
    batches: deque[FileBatch] = field(default_factory=deque)

    def send_next(self, send: Callable[[int, bytes, Batch], None]) -> bool:
        """Send the next whole lines, about CHUNK_BYTES of them; return whether there were any."""
        lines = self.file.lines_from(self.read.bytes, CHUNK_BYTES)
        if not lines:
            return False
        number, size = self.read
        batch = FileBatch(end=self.read)
        self.batches.append(batch)
        try:
            for line in lines:
                send(number + 1, line, batch)
                number += 1
                size += len(line)
        finally:
            batch.end = self.read = Position(number, size)
        return True

    def settle(self, producer: FrameProducer) -> list[FileBatch]:
        """Move the mark over the batches that Kafka has; raise PublishError when it did not take one."""
        settled = []
        while self.batches and self.batches[0].outstanding == 0:
            batch = self.batches[0]
            check_delivered(batch)
            if batch.refused:
                producer.send_refused(batch)
                break
            self.batches.popleft()
            self.acked = batch.end
            settled.append(batch)
        return settled

    def rewind(self) -> None:
        """Go back to what is acknowledged."""
        self.batches.clear()
        self.read = self.acked

    def save(self) -> None:
        """Write the mark down when it has moved; raise OSError."""
        if self.acked != self.saved:
            self.file.save_acked(self.acked)
            self.saved = self.acked


class Publisher:
    """The thread that follows all journals and remembers how far each is acknowledged.

    Of each source the oldest journal that is not read to its end comes first, so that the trades of a symbol
    reach Kafka in the order of their receipt, after an outage too.
    """

    def __init__(self, settings: CollectorSettings, journals: JournalFolder) -> None:
        self._settings = settings
        self._journals = journals
        self._readers: dict[str, FileReader] = {}
        self._events = _reader(journals.events)
        self._events_due = 0.0
        self._events_error: str | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._moved = time.monotonic()
        self._save_problem: str | None = None
        self._error: str | None = None
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._producer = FrameProducer(settings, self._stopping)
        self.trades_published = 0
        self.dead_lettered = 0

    @property
    def problem(self) -> str | None:
        """Return in a sentence what keeps trades from being published, if anything does."""
        if not self._thread.is_alive():
            return "The publisher has ended."
        if self._error is not None:
            return self._error
        if not self._producer.reachable or self._is_stalled():
            return (
                f"Kafka did not answer at {self._settings.bootstrap_servers}; "
                "the journal keeps what is received."
            )
        return self._save_problem

    def lag_bytes(self) -> int:
        """Return how much of the journals is not known to be in Kafka."""
        lag = 0
        for journal in self._unpublished():
            reader = self._readers.get(journal.id)
            acked = reader.acked if reader else journal.acked()
            try:
                lag += max(journal.path.stat().st_size - acked.bytes, 0)
            except OSError:
                continue
        return lag

    def lag_seconds(self) -> float:
        """Return how long ago the oldest frame that is not known to be in Kafka was received."""
        received = []
        for journal in self._unpublished():
            reader = self._readers.get(journal.id)
            acked = reader.acked if reader else journal.acked()
            try:
                lines = journal.lines_from(acked.bytes, 4096)
            except OSError:
                continue
            if lines and (found := _RECEIVED.search(lines[0])):
                received.append(int(found[1]) / 1000)
        return max(time.time() - min(received), 0.0) if received else 0.0

    def start(self) -> None:
        """Begin; what an earlier process may not have published comes first."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Return whether it still runs."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Say that a journal was appended to."""
        self._wake.set()

    def publish_event(self, event: Event) -> None:
        """Write a feed event down, and publish it; never raises."""
        self._journals.events.append(event)
        self._wake.set()

    def stop(self) -> None:
        """Publish what can be published in a limited time, and end."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(JOIN_SECONDS)

    def _unpublished(self) -> list[Journal]:
        return [journal for journals in self._journals.pending().values() for journal in journals]

    def _run(self) -> None:
        saved = probed = time.monotonic()
        deadline: float | None = None
        self._producer.probe(PROBE_SECONDS)
        while True:
            if self._stopping.is_set() and deadline is None:
                deadline = time.monotonic() + DRAIN_SECONDS
            try:
                busy = self._step()
            except InterruptedPublishError:
                break
            except PublishError as error:
                busy = self._start_over(str(error))
            except Exception as error:
                log.exception("The publisher met an unexpected error.")
                busy = self._start_over(f"An unexpected error was met: {type(error).__name__}.")
            now = time.monotonic()
            if now - saved > SAVE_SECONDS:
                self._save()
                saved = now
            if deadline is not None and (not busy or now > deadline):
                break
            if not busy:
                if not self._producer.reachable and now - probed > PROBE_EVERY_SECONDS:
                    self._producer.probe(PROBE_SECONDS)
                    probed = time.monotonic()
                self._rest()
        self._finish()

    def _step(self) -> bool:
        """Send what is new and take in what is acknowledged; return whether there was anything new."""
        busy = self._send_events()
        for journals in self._journals.pending().values():
            busy |= self._send_journals(journals)
        self._producer.poll(0)
        self._settle()
        return busy

    def _send_journals(self, journals: list[Journal]) -> bool:
        """Send the next lines of the oldest journal that has any; return whether there were any."""
        for journal in journals:
            finished = journal.closed  # before reading: what was appended in between is read next time
            reader = self._readers.get(journal.id)
            if reader is None:
                reader = self._readers[journal.id] = _reader(journal)
            try:
                if reader.send_next(partial(self._producer.send, journal.id)):
                    return True
            except FileNotFoundError:
                log.error("The journal %s was removed before all of it was published.", journal.id)
                del self._readers[journal.id]
                self._journals.forget(journal)
                continue
            if finished and not reader.batches:
                del self._readers[journal.id]
                self._journals.archive(journal)
        return False

    def _send_events(self) -> bool:
        """Send new feed events; what goes wrong with them holds up no trade."""
        if time.monotonic() < self._events_due:
            return False
        self._journals.events.write_again()
        try:
            busy = self._events.send_next(lambda _, line, batch: self._producer.send_event(line, batch))
            if self._events.settle(self._producer):
                self._events_error = None
            if self._journals.events.restart_when_large(self._events.acked):
                self._events = _reader(self._journals.events)
        except FileNotFoundError:
            return False
        except (PublishError, KafkaException, OSError) as error:
            if str(error) != self._events_error:
                log.warning("Feed events could not be published and are sent again: %s", error)
            self._events_error = str(error)
            self._events.rewind()
            self._events_due = time.monotonic() + RETRY_SECONDS
            return False
        return busy

    def _settle(self) -> None:
        """Take in what Kafka has acknowledged; raise PublishError when it did not take something."""
        under_way = False
        for reader in self._readers.values():
            for batch in reader.settle(self._producer):
                self._producer.answered()
                self.trades_published += batch.trades
                self.dead_lettered += batch.dead_lettered
                self._moved = time.monotonic()
                self._error = None
            under_way |= bool(reader.batches)
        if not under_way:
            self._moved = time.monotonic()

    def _is_stalled(self) -> bool:
        return time.monotonic() - self._moved > STALLED_SECONDS

    def _save(self) -> None:
        try:
            for reader in (*self._readers.values(), self._events):
                reader.save()
        except OSError as error:
            sentence = f"How far the journals are published could not be written: {error.strerror}."
            if sentence != self._save_problem:
                log.error("%s", sentence)
            self._save_problem = sentence
        else:
            self._save_problem = None

    def _rest(self) -> None:
        """Wait until a journal is appended to, then a moment longer."""
        self._wake.wait(IDLE_SECONDS)
        self._wake.clear()
        self._stopping.wait(GATHER_SECONDS)

    def _start_over(self, reason: str) -> bool:
        """Go back to what is acknowledged, to send the rest again under the same ids; return False."""
        if reason != self._error:
            log.error("%s Publishing again from the last acknowledged frame.", reason)
        self._error = reason
        self._producer.discard()
        for reader in (*self._readers.values(), self._events):
            reader.rewind()
        self._save()
        if not self._stopping.wait(RETRY_SECONDS):
            self._producer = FrameProducer(self._settings, self._stopping)
            self._producer.probe(PROBE_SECONDS)
        return False

    def _finish(self) -> None:
        """Wait a limited time for Kafka, and let go of the journals that are published to their end."""
        self._producer.flush(FLUSH_SECONDS)
        try:
            self._settle()
            self._events.settle(self._producer)
        except (PublishError, InterruptedPublishError) as error:
            log.error("%s The next start publishes the rest.", error)
        self._save()


def _reader(file: LineFile) -> FileReader:
    acked = file.acked()
    return FileReader(file, acked, acked, acked)
