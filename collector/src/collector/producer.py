"""Kafka's producer: idempotent, compressed, and it never gives up on a message that Kafka can take."""

import logging
import threading
from dataclasses import dataclass, field
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Delivery

from collector.encoding import encode_event
from collector.event_log import decode_event
from collector.message import Message, messages, refused_message
from collector.settings import CollectorSettings
from common.kafka import client_config
from common.schemas import events_schema

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 8 * 1024**2
QUEUE_KILOBYTES = 64 * 1024
# Long enough that many messages share a request, short beside the 50 ms that a trade may take.
LINGER_MS = 5
# While the queue is full: short enough to notice soon that the process is to end.
FULL_QUEUE_SECONDS = 0.1

# What Kafka, or its client, has against one message however often it is sent.
REFUSALS = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError._INVALID_ARG,
    }
)


class PublishError(Exception):
    """Say in one sentence why Kafka did not take something that it may take later."""


class InterruptedPublishError(Exception):
    """Kafka took no more, and the process is to end."""


@dataclass
class Batch:
    """Lines of a file whose messages are on their way."""

    outstanding: int = 0
    trades: int = 0
    dead_lettered: int = 0
    error: KafkaError | None = None
    refused: list[tuple[Message, str]] = field(default_factory=list)

    def delivered(self, message: Message | None, error: KafkaError | None, _: Delivery) -> None:
        """Note that Kafka has, or has not, taken a message (None for an event)."""
        self.outstanding -= 1
        if error is None:
            if message is not None and message.dead:
                self.dead_lettered += message.trades
            elif message is not None:
                self.trades += message.trades
        elif message is None or message.dead or error.code() not in REFUSALS:
            self.error = error
        else:
            self.refused.append((message, error.str()))


class FrameProducer:
    """Sends the lines of journals and of the event log."""

    def __init__(self, settings: CollectorSettings, stopping: threading.Event) -> None:
        self._settings = settings
        self._stopping = stopping
        self.reachable = False
        self._login_refused = False
        self._producer = Producer(
            {
                **client_config(settings, settings.kafka_username, settings.kafka_collector_password),
                "client.id": "collector",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": LINGER_MS,
                "message.timeout.ms": 0,
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "queue.buffering.max.kbytes": QUEUE_KILOBYTES,
                "reconnect.backoff.max.ms": 2000,
                "error_cb": self._failed,
            },
            logger=logging.getLogger("librdkafka"),
        )

    def send(self, journal: str, line_number: int, line: bytes, batch: Batch) -> None:
        """Send a line's messages.

        Raises PublishError when Kafka does not take them now, and InterruptedPublishError when there is no
        room and the process is to end.
        """
        for message in messages(journal, line_number, line):
            self._send(message, batch)

    def send_refused(self, batch: Batch) -> None:
        """Send dead letters for what Kafka refused; raises what `send` raises."""
        refused, batch.refused = batch.refused, []
        for message, reason in refused:
            self._send(refused_message(message, reason), batch)

    def send_event(self, line: bytes, batch: Batch) -> None:
        """Send a line of the event log; one that is damaged is logged and left out.

        Raises what `send` raises, and KafkaException.
        """
        try:
            value = encode_event(decode_event(line))
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            log.error("A feed event could not be read and is left out: %.300r (%s).", line, error)
            return
        headers = [("schema", events_schema().fingerprint.encode())]
        self._produce(self._settings.events_topic, Message(None, value, headers, 0), batch, None)

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
        self._login_refused = False

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
        try:
            self._produce(topic, message, batch, message)
        except KafkaException as error:
            if message.dead or error.args[0].code() not in REFUSALS:
                raise _publish_error(error.args[0]) from None
            self._send(refused_message(message, error.args[0].str()), batch)
        except (TypeError, ValueError, OverflowError) as error:
            # The client cannot take it, ever. Nothing is known to get here; see `messages`.
            if message.dead:
                raise
            reason = f"the message could not be sent ({type(error).__name__})"
            self._send(refused_message(message, reason), batch)

    def _produce(self, topic: str, message: Message, batch: Batch, counted: Message | None) -> None:
        delivered = partial(batch.delivered, counted)
        while True:
            try:
                self._producer.produce(
                    topic, message.value, message.key, headers=message.headers, on_delivery=delivered
                )
            except BufferError:
                self.poll(FULL_QUEUE_SECONDS)
                if self._stopping.is_set():
                    raise InterruptedPublishError from None
            else:
                batch.outstanding += 1
                return

    def _failed(self, error: KafkaError) -> None:
        if error.code() == KafkaError._AUTHENTICATION:
            if not self._login_refused:
                log.error("Kafka refused the login of %s.", self._settings.kafka_username)
            self._login_refused = True
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:
            return
        elif self.reachable:
            log.warning(
                "Kafka does not answer at %s; the journal keeps what is received.",
                self._settings.bootstrap_servers,
            )
        self.reachable = False


def check_delivered(batch: Batch) -> None:
    """Raise PublishError when Kafka did not take a message of a batch."""
    if batch.error is not None:
        raise _publish_error(batch.error)


def _publish_error(error: KafkaError) -> PublishError:
    if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
        return PublishError("A topic is missing in Kafka; a restart of Kafka creates it.")
    return PublishError(f"Kafka did not take a message: {error.str()}.")
