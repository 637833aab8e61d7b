"""From the journals to Kafka. The journal is the buffer: nothing is lost while Kafka is away."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Delivery

from collector.journal import Journal, JournalFolder, Position
from collector.message import Event, Message, encode_event, messages, oversized
from collector.settings import CollectorSettings
from common.kafka import client_config
from common.schemas import events_schema

log = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024
MAX_MESSAGE_BYTES = 8 * 1024**2
IDLE_SECONDS = 0.2
GATHER_SECONDS = 0.01
SAVE_SECONDS = 1.0
STALLED_SECONDS = 15.0
PROBE_SECONDS = 5.0
FLUSH_SECONDS = 5.0
RETRY_SECONDS = 5.0


class PublishError(Exception):
    """Say in one sentence why Kafka refused something for good."""


class InterruptedPublishError(Exception):
    """Kafka took no more, and the process is to end."""


@dataclass
class Batch:
    """Lines of a journal whose messages are on their way."""

    outstanding: int = 0
    trades: int = 0
    dead_lettered: int = 0
    error: KafkaError | None = None

    def delivered(self, error: KafkaError | None, _: Delivery) -> None:
        """Note that Kafka has, or refused, one of the messages."""
        self.outstanding -= 1
        if error is not None:
            self.error = error


@dataclass
class Tail:
    """How far one journal is read and, behind that, acknowledged."""

    journal: Journal
    file: IO[bytes]
    read: Position
    acked: Position
    saved: Position


@dataclass(kw_only=True)
class TailBatch(Batch):
    """The next lines of a journal that is followed; `end` is the place behind them."""

    tail: Tail
    end: Position


class FrameProducer:
    """Sends a journal's lines to Kafka: idempotent, compressed, never giving up."""

    def __init__(self, settings: CollectorSettings, stopping: threading.Event) -> None:
        self._settings = settings
        self._stopping = stopping
        self.reachable = False
        self._refused = False
        self._producer = Producer(
            {
                **client_config(settings, settings.kafka_username, settings.kafka_collector_password),
                "client.id": "collector",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 5,
                "message.timeout.ms": 0,
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "queue.buffering.max.kbytes": 64 * 1024,
                "reconnect.backoff.max.ms": 2000,
                "error_cb": self._failed,
            },
            logger=logging.getLogger("librdkafka"),
        )

    def send(self, journal: str, line_number: int, line: bytes, batch: Batch) -> None:
        """Send a line's messages; raise InterruptedPublishError when stopped while the queue is full."""
        for whole in messages(journal, line_number, line):
            message = whole
            try:
                self._send(message, batch)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                    raise PublishError(f"Kafka refused a message: {error.args[0].str()}.") from None
                message = oversized(whole)
                self._send(message, batch)
            if message.dead:
                batch.dead_lettered += message.trades
            else:
                batch.trades += message.trades

    def send_event(self, event: Event, delivered: Callable[[KafkaError | None, Delivery], None]) -> None:
        """Send a feed event; raise BufferError when the queue is full."""
        headers = [("schema", events_schema().fingerprint.encode())]
        topic = self._settings.events_topic
        self._producer.produce(topic, encode_event(event), headers=headers, on_delivery=delivered)

    def poll(self, seconds: float = 0) -> None:
        """Take in what Kafka has acknowledged."""
        self._producer.poll(seconds)

    def probe(self, seconds: float) -> bool:
        """Ask Kafka whether it is there."""
        try:
            self._producer.list_topics(self._settings.kafka_topic_name, timeout=seconds)
        except KafkaException:
            self.reachable = False
        else:
            self.answered()
        return self.reachable

    def answered(self) -> None:
        """Note that Kafka is there."""
        if not self.reachable:
            log.info("Kafka answers at %s", self._settings.bootstrap_servers)
        self.reachable = True
        self._refused = False

    def flush(self, seconds: float) -> int:
        """Wait until everything is acknowledged; return how much was not, in time."""
        return int(self._producer.flush(seconds))

    def discard(self) -> None:
        """Forget everything that is on its way."""
        self._producer.purge()
        self._producer.flush(0)

    def _send(self, message: Message, batch: Batch) -> None:
        settings = self._settings
        topic = settings.dead_letter_topic if message.dead else settings.kafka_topic_name
        while True:
            try:
                self._producer.produce(
                    topic, message.value, message.key, headers=message.headers, on_delivery=batch.delivered
                )
            except BufferError:
                self.poll(0.1)
                if self._stopping.is_set():
                    raise InterruptedPublishError from None
            else:
                batch.outstanding += 1
                return

    def _failed(self, error: KafkaError) -> None:
        if error.code() == KafkaError._AUTHENTICATION:
            if not self._refused:
                log.error("Kafka refused the login of %s.", self._settings.kafka_username)
            self._refused = True
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:
            return
        elif self.reachable:
            log.warning(
                "Kafka is away from %s; the journal keeps what is received.", self._settings.bootstrap_servers
            )
        self.reachable = False


class Publisher:
    """The thread that follows all journals and remembers how far each is acknowledged."""

    def __init__(self, settings: CollectorSettings, journals: JournalFolder) -> None:
        self._settings = settings
        self._journals = journals
        self._tails: dict[str, Tail] = {}
        self._batches: deque[TailBatch] = deque()
        self._events: deque[Event] = deque(maxlen=10_000)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._moved = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="publisher")
        self._producer = FrameProducer(settings, self._stopping)
        self.trades_published = 0
        self.dead_lettered = 0

    @property
    def problem(self) -> str | None:
        """Return in a sentence what keeps trades from being published, if anything does."""
        if not self._thread.is_alive():
            return "The publisher has ended."
        if not self._producer.reachable or self._stalled():
            return (
                f"Kafka did not answer at {self._settings.bootstrap_servers}; "
                "the journal keeps what is received."
            )
        return None

    def start(self) -> None:
        """Begin; what an earlier process may not have published comes first."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Tell whether it still runs."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Say that a journal has grown."""
        self._wake.set()

    def publish_event(self, event: Event) -> None:
        """Publish a feed event."""
        self._events.append(event)
        self._wake.set()

    def stop(self) -> None:
        """Publish what is there, wait a limited time for Kafka, and end."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        saved = probed = time.monotonic()
        self._producer.probe(PROBE_SECONDS)
        while True:
            last = self._stopping.is_set()
            try:
                self._send_events()
                busy = self._read_journals()
                self._producer.poll(0)
                self._settle()
            except InterruptedPublishError:
                break
            except PublishError as error:
                if last:
                    log.error("%s The next start publishes the rest.", error)
                    break
                self._start_over(str(error))
                continue
            now = time.monotonic()
            if now - saved > SAVE_SECONDS:
                self._save()
                saved = now
            if not busy:
                if last:
                    break
                if not self._producer.reachable and now - probed > PROBE_SECONDS:
                    self._producer.probe(1)
                    probed = time.monotonic()
                self._rest()
        self._finish()

    def _finish(self) -> None:
        """Wait a limited time for Kafka, and let go of the journals that are published to their end."""
        self._producer.flush(FLUSH_SECONDS)
        try:
            self._settle()
        except PublishError as error:
            log.error("%s The next start publishes the rest.", error)
        self._save()
        for tail in list(self._tails.values()):
            if tail.journal.closed and tail.acked.bytes == tail.journal.path.stat().st_size:
                self._drop(tail)

    def _rest(self) -> None:
        """Wait until a journal grows, then a moment longer: one round for many frames is cheaper."""
        self._wake.wait(IDLE_SECONDS)
        self._wake.clear()
        self._stopping.wait(GATHER_SECONDS)

    def _read_journals(self) -> bool:
        """Send the next lines of every journal; return whether there were any."""
        busy = False
        for journal in self._journals.pending():
            finished = journal.closed
            tail = self._tails.get(journal.id) or self._follow(journal)
            end = tail.read
            for line_number, line in _next_lines(tail):
                if end == tail.read:
                    batch = TailBatch(tail=tail, end=end)
                    self._batches.append(batch)
                self._producer.send(journal.id, line_number, line, batch)
                end = Position(line_number, end.bytes + len(line))
                batch.end = end
            if end != tail.read:
                tail.read = end
                busy = True
            elif finished and tail.acked == tail.read:
                self._drop(tail)
        return busy

    def _follow(self, journal: Journal) -> Tail:
        acked = journal.acked()
        tail = self._tails[journal.id] = Tail(journal, journal.path.open("rb"), acked, acked, acked)
        return tail

    def _drop(self, tail: Tail) -> None:
        del self._tails[tail.journal.id]
        tail.file.close()
        self._journals.archive(tail.journal)

    def _settle(self) -> None:
        """Move the marks of what Kafka has acknowledged; raise PublishError when it refused something."""
        while self._batches and self._batches[0].outstanding == 0:
            batch = self._batches.popleft()
            if batch.error is not None:
                raise PublishError(f"Kafka refused a message: {batch.error.str()}.")
            batch.tail.acked = batch.end
            self._producer.answered()
            self.trades_published += batch.trades
            self.dead_lettered += batch.dead_lettered
            self._moved = time.monotonic()
        if not self._batches:
            self._moved = time.monotonic()

    def _stalled(self) -> bool:
        return time.monotonic() - self._moved > STALLED_SECONDS

    def _save(self) -> None:
        for tail in self._tails.values():
            if tail.acked != tail.saved:
                try:
                    tail.journal.save_acked(tail.acked)
                except OSError as error:
                    log.error(
                        "How far %s is published could not be written: %s.", tail.journal.id, error.strerror
                    )
                    return
                tail.saved = tail.acked

    def _send_events(self) -> None:
        while self._events:
            event = self._events[0]

            def delivered(error: KafkaError | None, _: Delivery, event: Event = event) -> None:
                if error is not None and not self._stopping.is_set():
                    self._events.append(event)

            try:
                self._producer.send_event(event, delivered)
            except BufferError:
                return
            self._events.popleft()

    def _start_over(self, reason: str) -> None:
        """Go back to what is acknowledged and send the rest again, under the same ids."""
        log.error("%s Publishing again from the last acknowledged frame.", reason)
        self._producer.discard()
        self._stopping.wait(RETRY_SECONDS)
        self._batches.clear()
        for tail in self._tails.values():
            tail.read = tail.acked
        self._producer = FrameProducer(self._settings, self._stopping)
        self._producer.probe(PROBE_SECONDS)


def _next_lines(tail: Tail) -> Iterator[tuple[int, bytes]]:
    """Yield the next whole lines, about CHUNK_BYTES of them, with their numbers."""
    tail.file.seek(tail.read.bytes)
    for line_number, line in enumerate(tail.file.readlines(CHUNK_BYTES), start=tail.read.lines + 1):
        if line.endswith(b"\n"):
            yield line_number, line
