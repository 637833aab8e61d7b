"""Run the stream processor until it is told to stop or a query fails, or rebuild bars."""

import argparse
import logging
import signal
import sys
import threading
import time

from confluent_kafka import KafkaException
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession
from pyspark.sql.streaming import StreamingQuery

from common.cassandra import ERRORS
from common.heartbeat import write_heartbeat
from common.logs import start_logging
from common.metrics import MetricsError, MetricsServer
from common.moments import parse_moment
from common.settings import SettingsError
from stream_processor.bar_writer import BarWriter
from stream_processor.errors import explain
from stream_processor.metrics import Metrics
from stream_processor.queries import Queries
from stream_processor.rebuild import rebuild
from stream_processor.session import has_workers, start_session
from stream_processor.settings import StreamProcessorSettings
from stream_processor.store import Store, open_session
from stream_processor.topics import TopicIds, Topics
from stream_processor.windows import Selection

SERVICE = "stream-processor"
HEARTBEAT_SECONDS = 1.0
# Between looks at whether a topic was lost: so long its messages may be skipped, until they are read again.
TOPICS_SECONDS = 10.0

log = logging.getLogger("stream_processor")


def main() -> int:
    """Process the topics, or rebuild bars; return the exit status."""
    parser = argparse.ArgumentParser(prog="stream_processor", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    again = commands.add_parser("rebuild-bars", help="bars and averages again from stored trades")
    again.add_argument("--symbol", action="append", default=[], metavar="S", help="only this symbol")
    again.add_argument("--from", dest="start", type=parse_moment, metavar="T", help="windows from T on (UTC)")
    again.add_argument("--to", dest="end", type=parse_moment, metavar="T", help="windows before T (UTC)")
    options = parser.parse_args()
    if options.command:
        return rebuild_bars(Selection(frozenset(options.symbol), options.start, options.end))
    return process()


def process() -> int:
    """Start the queries and watch them; when one fails the process ends, and is started anew."""
    start_logging(libraries={"py4j": logging.WARNING, "cassandra": logging.ERROR})
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    metrics = Metrics()
    try:
        settings = StreamProcessorSettings.load()
        with MetricsServer(
            metrics.registry,
            lambda: metrics.problem,
            host=settings.metrics_listen,
            port=settings.stream_processor_metrics_port,
            setting="STREAM_PROCESSOR_METRICS_PORT",
        ):
            return run(settings, metrics, stopped)
    except (SettingsError, MetricsError) as error:
        log.error("%s", error)
        return 2


def run(settings: StreamProcessorSettings, metrics: Metrics, stopped: threading.Event) -> int:
    """Process until told to stop or until something fails; return the exit status."""
    write_heartbeat(settings.market_home, SERVICE, ready=False)
    try:
        topics = Topics(settings)
        topic_ids = topics.prepare_checkpoints(settings.checkpoints)
        spark = start_session(settings)
        queries = Queries(settings, spark, metrics)
        running = queries.start()
    except (OSError, KafkaException, Py4JError, *ERRORS) as error:
        log.error("The stream processor could not start: %s", explain(error))
        return 1
    log.info("started %s", ", ".join(query.name for query in running))
    starting = running
    checked = time.monotonic()
    while not stopped.wait(HEARTBEAT_SECONDS):
        if time.monotonic() - checked > TOPICS_SECONDS:
            if are_lost(topics, topic_ids):
                log.error("A topic was made anew: starting again, from its beginning.")
                return 1
            checked = time.monotonic()
        failed = next((query for query in running if not query.isActive), None)
        if failed is not None:
            log.error("The query %s failed: %s", failed.name, queries.failure(failed))
            return 1
        # Once it is ready a query stays so; its status is JSON from the JVM.
        starting = [one for one in starting if one.status["message"].startswith("Initializing")]
        metrics.problem = problem(spark, settings, starting)
        write_heartbeat(
            settings.market_home,
            SERVICE,
            ready=metrics.problem is None,
            problems=[metrics.problem] if metrics.problem else [],
        )
    queries.stop(running)
    spark.stop()
    log.info("stopped")
    return 0


def problem(
    spark: SparkSession, settings: StreamProcessorSettings, starting: list[StreamingQuery]
) -> str | None:
    """Return why trades are not processed, if so."""
    if not has_workers(spark, settings):
        return f"no worker of {settings.spark_master} was there"
    names = ", ".join(query.name for query in starting)
    return f"the queries {names} were not ready yet" if starting else None


def rebuild_bars(selection: Selection) -> int:
    """Rebuild bars beside a running stream processor; return the exit status."""
    start_logging(libraries={"py4j": logging.WARNING, "cassandra": logging.CRITICAL})
    try:
        settings = StreamProcessorSettings.load()
        session = open_session(settings)
        try:
            store = Store(session)
            spark = start_session(settings, with_ui=False)
            written, kept = rebuild(BarWriter(spark, store, settings.market_home), store, selection, report)
        finally:
            session.cluster.shutdown()
    except (SettingsError, OSError, Py4JError, *ERRORS) as error:
        print(explain(error), file=sys.stderr)
        return 1
    report(f"{written:,} bars were written again, with the running averages over them.")
    if kept:
        report(f"{kept:,} bars stayed as they are: some of their trades have expired.")
    return 0


def report(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def are_lost(topics: Topics, known: TopicIds) -> bool:
    """Return whether Kafka has made a topic anew; while it does not say so, the queries go on."""
    try:
        return topics.ids() != known
    except KafkaException:
        return False


if __name__ == "__main__":
    sys.exit(main())
