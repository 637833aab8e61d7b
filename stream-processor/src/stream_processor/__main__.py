"""Run the stream processor until it is told to stop or a query fails."""

import logging
import signal
import sys
import threading
import time

from cassandra.cluster import NoHostAvailable
from confluent_kafka import KafkaException
from py4j.protocol import Py4JError

from common.heartbeat import write_heartbeat
from common.logs import start_logging
from common.settings import SettingsError
from common.spark import java_message
from stream_processor.queries import Queries
from stream_processor.session import has_workers, start_session
from stream_processor.settings import StreamProcessorSettings
from stream_processor.topics import TopicIds, Topics

SERVICE = "stream-processor"
HEARTBEAT_SECONDS = 1.0
# Between looks at whether a topic was lost: so long its messages may be skipped, until they are read again.
TOPICS_SECONDS = 10.0

log = logging.getLogger("stream_processor")


def main() -> int:
    """Start the queries and watch them; when one fails the process ends, and is started anew."""
    start_logging(libraries={"py4j": logging.WARNING, "cassandra": logging.ERROR})
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        settings = StreamProcessorSettings.load()
    except SettingsError as error:
        log.error("%s", error)
        return 2
    write_heartbeat(settings.market_home, SERVICE, ready=False)
    try:
        topics = Topics(settings)
        topic_ids = topics.discard_stale_checkpoints(settings.checkpoints)
        spark = start_session(settings)
        queries = Queries(settings, spark)
        running = queries.start()
    except (OSError, KafkaException, NoHostAvailable, Py4JError) as error:
        log.error("The stream processor could not start: %s", java_message(error))
        return 1
    log.info("started %s", ", ".join(query.name for query in running))
    checked = time.monotonic()
    while not stopped.wait(HEARTBEAT_SECONDS):
        if time.monotonic() - checked > TOPICS_SECONDS:
            if are_lost(topics, topic_ids):
                log.error("A topic was made anew: starting again, from its beginning.")
                return 1
            checked = time.monotonic()
        failed = next((query for query in running if not query.isActive), None)
        if failed is not None:
            log.error("The query %s failed: %s", failed.name, failed.exception())
            return 1
        working = has_workers(spark, settings)
        write_heartbeat(
            settings.market_home,
            SERVICE,
            ready=working
            and all(not query.status["message"].startswith("Initializing") for query in running),
            problems=[] if working else [f"no worker of {settings.spark_master} was there"],
            trades_stored=queries.counters.trades_stored,
            dead_lettered=queries.counters.dead_lettered,
            late=queries.counters.late,
        )
    queries.stop(running)
    spark.stop()
    log.info("stopped")
    return 0


def are_lost(topics: Topics, known: TopicIds) -> bool:
    """Return whether Kafka has made a topic anew; while it does not say so, the queries go on."""
    try:
        return topics.ids() != known
    except KafkaException:
        return False


if __name__ == "__main__":
    sys.exit(main())
