"""Follow a replay's trades into the store, by what Cassandra holds and Kafka knows."""

import time
from collections.abc import Callable, Hashable, Mapping
from datetime import UTC, datetime
from typing import Self

from cassandra import DriverException, OperationTimedOut, RequestExecutionException
from cassandra.cluster import NoHostAvailable, Session
from cassandra.concurrent import execute_concurrent_with_args
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from common.cassandra import connect
from common.kafka import client_config
from ops.errors import MarketError
from ops.settings import OpsSettings

Report = Callable[[str], None]

NO_PROGRESS_SECONDS = 120.0
LONG_BATCH_SECONDS = 10.0
POLL_SECONDS = 0.25
REPORT_SECONDS = 2.0
REPEAT_SECONDS = 15.0
KAFKA_SECONDS = 10.0
CONCURRENT_QUERIES = 8
TRADES_GROUP = "stream-processor.trades"
BARS_GROUP = "stream-processor.bars"
AWAY = (
    KafkaException,
    NoHostAvailable,
    OperationTimedOut,
    RequestExecutionException,
    DriverException,
    TimeoutError,
)


class Patience:
    """Reports progress now and then, and ends a wait in which nothing moved for too long."""

    def __init__(self, stuck: str, report: Report, limit: float = NO_PROGRESS_SECONDS) -> None:
        self._stuck = stuck
        self._report = report
        self._limit = limit
        self._figures: Hashable = None
        self._said = ""
        self._moved = self._reported = time.monotonic()

    def note(self, figures: Hashable, sentence: str) -> None:
        """Take note of how far things are; raise MarketError when that has not changed for too long."""
        now = time.monotonic()
        if figures != self._figures:
            self._figures, self._moved = figures, now
        elif now - self._moved > self._limit:
            raise MarketError(f"{self._stuck} for {self._limit:.0f} s: {sentence}.")
        pause = REPORT_SECONDS if sentence != self._said else REPEAT_SECONDS
        if now - self._reported > pause:
            self._report(f"{sentence} ...")
            self._reported, self._said = now, sentence

    def renew(self) -> None:
        """Count the time from now."""
        self._moved = time.monotonic()


class Watch:
    """Logs in before a replay starts, so that nothing of it is missed; to be used in a `with`."""

    def __init__(self, settings: OpsSettings) -> None:
        self._topic = settings.kafka_topic_name
        self._dead_letter_topic = settings.dead_letter_topic
        config = client_config(settings, "admin", settings.kafka_admin_password)
        config |= {"log_level": 0}
        self._admin = AdminClient(config)
        self._consumer = Consumer(config | {"group.id": "market-replay", "enable.auto.commit": False})
        self._dead: dict[tuple[bytes | None, ...], int] = {}
        try:
            # Assigned to what follows, outside any group.
            self._consumer.assign(
                [
                    TopicPartition(self._dead_letter_topic, partition, end)
                    for partition, end in self._ends(self._dead_letter_topic).items()
                ]
            )
        except AWAY:
            raise MarketError(
                f"Kafka did not answer at {settings.bootstrap_servers}; see ./market status."
            ) from None
        try:
            self._session: Session = connect(settings, "ops", settings.cassandra_ops_password)
        except AWAY:
            raise MarketError(
                f"Cassandra did not answer at {settings.cassandra_host}:{settings.cassandra_port}; "
                "see ./market status."
            ) from None
        self._count = self._session.prepare(
            "SELECT count(*) FROM trades WHERE symbol = ? AND hour = ? AND trade_id >= ? AND trade_id < ? "
            "ALLOW FILTERING"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()
        self._session.cluster.shutdown()

    def until_stored(
        self, trades: int, partitions: Mapping[tuple[str, int], int], journals: list[str], report: Report
    ) -> tuple[int, int]:
        """Wait until all trades are stored or in dead letters; return how many of each.

        `partitions` tells how many trades each (symbol, hour in ms) has. Raises MarketError with the figures
        when they have not changed for too long.
        """
        patience = Patience("Nothing more was stored", report)
        stored = dict.fromkeys(partitions, 0)
        dead_lettered = 0
        while True:
            try:
                started = time.monotonic()
                self._until_committed(TRADES_GROUP, "storing the trades", report)
                if time.monotonic() - started > LONG_BATCH_SECONDS:
                    patience.renew()
                open_partitions = [one for one, expected in partitions.items() if stored[one] < expected]
                stored |= self._stored(open_partitions, journals)
                dead_lettered = self._dead_lettered(journals)
            except AWAY:
                pass  # a server restarts; patience ends the wait
            total = sum(stored.values())
            if total + dead_lettered >= trades:
                return total, dead_lettered
            patience.note(
                (total, dead_lettered),
                f"{total:,} of {trades:,} trades were stored and {dead_lettered:,} in dead letters",
            )
            time.sleep(POLL_SECONDS)

    def until_final(self, report: Report) -> None:
        """Wait until the bars and running averages of everything that is in Kafka now are written."""
        while True:
            try:
                self._until_committed(BARS_GROUP, "writing the bars", report)
            except AWAY:
                time.sleep(POLL_SECONDS)
            else:
                return

    def _until_committed(self, group: str, doing: str, report: Report) -> None:
        """Wait until a group has worked off what is in the topic of trades now."""
        patience = Patience(f"The stream processor did not go on {doing}", report)
        ends = self._ends(self._topic)
        while True:
            committed = self._committed(group, list(ends))
            left = sum(max(end - committed.get(partition, 0), 0) for partition, end in ends.items())
            if left == 0:
                return
            patience.note(left, f"{doing}: {left:,} messages were left")
            time.sleep(POLL_SECONDS)

    def _stored(self, partitions: list[tuple[str, int]], journals: list[str]) -> dict[tuple[str, int], int]:
        """Count the trades of the journals in each partition."""
        arguments = [
            (symbol, datetime.fromtimestamp(hour // 1000, UTC), f"{journal}:", f"{journal};")
            for symbol, hour in partitions
            for journal in journals
        ]
        results = execute_concurrent_with_args(
            self._session, self._count, arguments, CONCURRENT_QUERIES, raise_on_first_error=True
        )
        counts = [result.result_or_exc.one()[0] for result in results]
        width = len(journals)
        return {
            partition: sum(counts[at * width : (at + 1) * width]) for at, partition in enumerate(partitions)
        }

    def _dead_lettered(self, journals: list[str]) -> int:
        """Count the trades of the journals in dead letters; one that was sent twice counts once."""
        ends = self._ends(self._dead_letter_topic)
        deadline = time.monotonic() + KAFKA_SECONDS
        while any(self._position(partition) < end for partition, end in ends.items()):
            for message in self._consumer.consume(500, timeout=POLL_SECONDS):
                if message.error() is None:
                    self._note_dead_letter(message)
            if time.monotonic() > deadline:
                raise TimeoutError
        wanted = {journal.encode() for journal in journals}
        return sum(
            trades for key, trades in self._dead.items() if (key[0] or b"").partition(b":")[0] in wanted
        )

    def _note_dead_letter(self, message: Message) -> None:
        headers = dict(message.headers() or [])
        place = headers.get("trade_id") or headers.get("position")
        try:
            trades = int(headers.get("trades") or b"1")
        except ValueError:
            trades = 1
        self._dead[headers.get("frame"), place, message.value()] = trades

    def _position(self, partition: int) -> int:
        [place] = self._consumer.position([TopicPartition(self._dead_letter_topic, partition)])
        if place.offset >= 0:
            return int(place.offset)
        [assigned] = [one for one in self._consumer.assignment() if one.partition == partition]
        return int(assigned.offset)

    def _ends(self, topic: str) -> dict[int, int]:
        """Return the offset behind the last message of each partition."""
        partitions = self._admin.list_topics(topic, timeout=KAFKA_SECONDS).topics[topic].partitions
        found = self._admin.list_offsets(
            {TopicPartition(topic, partition): OffsetSpec.latest() for partition in partitions},
            request_timeout=KAFKA_SECONDS,
        )
        return {place.partition: future.result(KAFKA_SECONDS).offset for place, future in found.items()}

    def _committed(self, group: str, partitions: list[int]) -> dict[int, int]:
        places = [TopicPartition(self._topic, partition) for partition in partitions]
        [future] = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, places)], request_timeout=KAFKA_SECONDS
        ).values()
        found = future.result(KAFKA_SECONDS).topic_partitions
        return {place.partition: place.offset for place in found if place.offset >= 0}
