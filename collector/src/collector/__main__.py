"""Run the collector, look at its settings (`--check`), or publish journals again (`--republish`)."""

import argparse
import logging
import signal
import sys
import threading
import time

from pydantic import SecretStr

from collector.journal import JournalError, JournalFolder
from collector.logs import start_logging
from collector.publisher import Publisher, PublishError
from collector.receiver import Endpoint, Receiver
from collector.republish import parse_moment, republish
from collector.settings import CollectorSettings
from collector.tickers import TickerError, unknown_tickers
from common.heartbeat import write_heartbeat
from common.settings import SettingsError

SERVICE = "collector"
HEARTBEAT_SECONDS = 1.0
EXPIRE_SECONDS = 3600.0

log = logging.getLogger("collector")


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(prog="collector", description=__doc__)
    parser.add_argument("--check", action="store_true", help="validate settings and tickers, and exit")
    parser.add_argument("--republish", action="store_true", help="publish journals again under their old ids")
    parser.add_argument("--from", dest="start", metavar="TIME", help="frames received at or after (UTC)")
    parser.add_argument("--to", dest="end", metavar="TIME", help="frames received before (UTC)")
    arguments = parser.parse_args()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        settings = CollectorSettings.load()
        if settings.feed == "live" and settings.finnhub_api_token is None:
            raise SettingsError("MARKET_FEED was live, but FINNHUB_API_TOKEN was missing: put it into .env.")
        start_logging(settings.finnhub_api_token, settings.kafka_collector_password)
        if arguments.check:
            _check(settings, stopping)
            return 0
        if not settings.kafka_collector_password.get_secret_value():
            raise SettingsError("KAFKA_COLLECTOR_PASSWORD was missing: ./market up generates it.")
        if arguments.republish:
            start = parse_moment(arguments.start) if arguments.start else None
            end = parse_moment(arguments.end) if arguments.end else None
            print(f"{republish(settings, start, end, stopping)} trades were published again.")
            return 0
        return _run(settings, stopping)
    except (SettingsError, JournalError, TickerError, PublishError) as error:
        print(error, file=sys.stderr)
        return 1


def _check(settings: CollectorSettings, stopping: threading.Event) -> None:
    unknown = unknown_tickers(settings, stopping)
    if unknown:
        feed = "The demo feed" if settings.feed == "demo" else "Finnhub"
        raise TickerError(f"{feed} did not know {', '.join(unknown)}: mend FINNHUB_STOCKS_TICKERS.")


def _endpoints(settings: CollectorSettings) -> list[Endpoint]:
    tickers = settings.finnhub_stocks_tickers
    feed = Endpoint(
        "feed",
        f"ws://{settings.feed_host}:{settings.feed_port}/",
        SecretStr(SERVICE),
        tickers,
        source=None,
        market="demo" if settings.feed == "demo" else None,
        first_delay=0.2,
        longest_delay=5.0,
    )
    if settings.feed != "live" or settings.finnhub_api_token is None:
        return [feed]
    url = settings.finnhub_websocket_url
    finnhub = Endpoint("finnhub", url, settings.finnhub_api_token, tickers, source="live", market="live")
    return [finnhub, feed]


def _run(settings: CollectorSettings, stopping: threading.Event) -> int:
    """Receive and publish until told to stop, or until a thread has died: the supervisor starts it anew."""
    journals = JournalFolder(
        settings.market_home / "journal",
        settings.journal_rotate_megabytes * 1024**2,
        settings.journal_retention_days,
    )
    publisher = Publisher(settings, journals)
    receivers = [
        Receiver(endpoint, journals, publisher.wake, publisher.tell) for endpoint in _endpoints(settings)
    ]
    publisher.start()
    for receiver in receivers:
        receiver.start()
    expired = 0.0
    status = 0
    threads: list[Publisher | Receiver] = [publisher, *receivers]
    while True:
        _write_heartbeat(settings, publisher, receivers)
        if time.monotonic() - expired > EXPIRE_SECONDS:
            journals.expire(time.time())
            expired = time.monotonic()
        if stopping.wait(HEARTBEAT_SECONDS):
            break
        if not all(thread.is_alive() for thread in threads):
            log.error("A thread has ended; see above.")
            status = 1
            break
    for receiver in receivers:
        receiver.stop()
    publisher.stop()
    journals.close()
    log.info("stopped")
    return status


def _write_heartbeat(settings: CollectorSettings, publisher: Publisher, receivers: list[Receiver]) -> None:
    problems = [problem for problem in (publisher.problem, *(one.problem for one in receivers)) if problem]
    figures = [receiver.figures for receiver in receivers]
    write_heartbeat(
        settings.market_home,
        SERVICE,
        ready=not problems,
        feed=settings.feed,
        problems=problems,
        connected={receiver.endpoint.name: receiver.connected for receiver in receivers},
        trades_received=sum(figure.trades for figure in figures),
        trades_published=publisher.trades_published,
        frames=sum(figure.frames for figure in figures),
        duplicates=sum(figure.duplicates for figure in figures),
        dead_lettered=publisher.dead_lettered,
        pings=sum(figure.pings for figure in figures),
    )


if __name__ == "__main__":
    sys.exit(main())
