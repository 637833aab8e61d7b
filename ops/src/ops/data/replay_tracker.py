"""Track a replay's trades into the store, by what Cassandra holds and Kafka knows."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Self

from cassandra.concurrent import execute_concurrent_with_args
from confluent_kafka import KafkaException

from common.cassandra import ERRORS, is_transient
from common.identity import trade_id_range
from common.kafka import BARS_GROUP, TRADES_GROUP
from ops.clients import cassandra_error, kafka_config, open_session
from ops.data.kafka_progress import DeadLetterCounter, GroupProgress, explain_kafka_error
from ops.data.stall_detector import StallDetector
from ops.errors import MarketError
from ops.report import Report
from ops.settings import OpsSettings

# A batch that takes longer has moved things, though no figure shows it before it ends.
LONG_BATCH_SECONDS = 10.0
POLL_SECONDS = 0.25
CONCURRENT_QUERIES = 8
COUNT = (
    "SELECT count(*) FROM trades WHERE symbol = ? AND hour = ? AND trade_id >= ? AND trade_id <= ? "
    "ALLOW FILTERING"
)

# A symbol and the start of an hour (ms).
Partition = tuple[str, int]


class ReplayTracker:
    """Logs in before a replay starts, so that it misses nothing; to be used in a `with`."""

    def __init__(self, settings: OpsSettings) -> None:
        self._settings = settings
        config = kafka_config(settings)
        self._progress = GroupProgress(config, settings.kafka_topic_name)
        try:
            self._dead_letters = DeadLetterCounter(config, settings.dead_letter_topic)
        except (KafkaException, TimeoutError) as error:
            reason = explain_kafka_error(error)
            raise MarketError(f"{reason} at {settings.bootstrap_servers}; see ./market status.") from None
        self._session = open_session(settings)
        self._count = self._session.prepare(COUNT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._dead_letters.close()
        self._session.cluster.shutdown()

    def wait_until_stored(
        self, trades: int, partitions: Mapping[Partition, int], journals: Sequence[str], report: Report
    ) -> tuple[int, int]:
        """Wait until all trades are stored or in dead letters; return how many of each.

        `partitions` holds the number of trades of each (symbol, hour in ms). Raises MarketError with the
        figures when they have not changed for too long.
        """
        stall = StallDetector("Nothing more was stored", report)
        stored = dict.fromkeys(partitions, 0)
        dead_lettered = 0
        while True:
            problem = ""
            started = time.monotonic()
            self._progress.wait_until_committed(TRADES_GROUP, "storing the trades", report)
            if time.monotonic() - started > LONG_BATCH_SECONDS:
                stall.restart()
            try:
                incomplete = [place for place, expected in partitions.items() if stored[place] < expected]
                stored |= self._stored(incomplete, journals)
                dead_lettered = self._dead_letters.count(journals)
            except ERRORS as error:
                if not is_transient(error):
                    raise cassandra_error(error, self._settings) from None
                problem = "; Cassandra did not answer"
            except (KafkaException, TimeoutError) as error:
                problem = f"; {explain_kafka_error(error)}"
            total = sum(stored.values())
            if total + dead_lettered >= trades:
                return total, dead_lettered
            stall.update(
                (total, dead_lettered),
                f"{total:,} of {trades:,} trades were stored and {dead_lettered:,} in dead letters{problem}",
            )
            time.sleep(POLL_SECONDS)

    def wait_until_final(self, report: Report) -> None:
        """Wait until the bars and running averages of everything that is in Kafka now are written."""
        self._progress.wait_until_committed(BARS_GROUP, "writing the bars", report)

    def _stored(self, partitions: Sequence[Partition], journals: Sequence[str]) -> dict[Partition, int]:
        """Count the trades of the journals in each partition."""
        arguments = [
            (symbol, datetime.fromtimestamp(hour // 1000, UTC), *trade_id_range(journal))
            for symbol, hour in partitions
            for journal in journals
        ]
        results = execute_concurrent_with_args(
            self._session, self._count, arguments, CONCURRENT_QUERIES, raise_on_first_error=True
        )
        counts = [result.result_or_exc.one()[0] for result in results]
        width = len(journals)
        return {
            partition: sum(counts[index * width : (index + 1) * width])
            for index, partition in enumerate(partitions)
        }
