"""Run the collector, look at its settings (`--check`), search tickers or publish journals again."""

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time

from collector.finnhub import COLUMNS, FinnhubError, FinnhubUnavailableError, Wait
from collector.journal import JournalError
from collector.producer import PublishError
from collector.republish import parse_moment, republish
from collector.service import CollectorService, lock_token
from collector.settings import CollectorSettings
from collector.tickers import TickerError, TickerSource, search_tickers, unknown_tickers
from collector.token_lock import TokenLockError
from common.logs import start_logging
from common.metrics import MetricsError
from common.settings import SettingsError

# A second signal or a supervisor follows 10 s after the first; everything that ends in order needs less.
END_SECONDS = 8.0

# A user waits for the start; fifty lookups take ten seconds. With a last read the check stays below a minute.
LOOKUP_SECONDS = 30.0

# The collector itself says what these have to say, once.
LIBRARIES = {"websocket": logging.CRITICAL, "librdkafka": logging.CRITICAL}

log = logging.getLogger("collector")


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(prog="collector", description=__doc__)
    parser.add_argument("--check", action="store_true", help="validate settings and tickers, and exit")
    parser.add_argument("--search", metavar="WORDS", help="print the symbols for some words")
    parser.add_argument("--json", action="store_true", help="print the symbols as JSON")
    parser.add_argument("--republish", action="store_true", help="publish journals again under their old ids")
    parser.add_argument("--from", dest="start", metavar="TIME", help="frames received at or after (UTC)")
    parser.add_argument("--to", dest="end", metavar="TIME", help="frames received before (UTC)")
    arguments = parser.parse_args()
    stopping = _end_on_signals()
    reload = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: reload.set())
    try:
        settings = CollectorSettings.load()
        start_logging(settings.finnhub_api_token, settings.kafka_collector_password, libraries=LIBRARIES)
        if arguments.search is not None:
            search(settings, arguments.search, arguments.json, stopping)
            return 0
        if settings.feed == "live" and settings.finnhub_api_token is None:
            raise SettingsError("MARKET_FEED was live, but FINNHUB_API_TOKEN was missing: put it into .env.")
        if arguments.check:
            check(settings, stopping)
            return 0
        if not settings.kafka_collector_password.get_secret_value():
            raise SettingsError("KAFKA_COLLECTOR_PASSWORD was missing: ./market up generates it.")
        if arguments.republish:
            start = parse_moment(arguments.start) if arguments.start else None
            end = parse_moment(arguments.end) if arguments.end else None
            print(f"{republish(settings, start, end, stopping)} trades were published again.")
            return 0
        lock = lock_token(settings)
        status = CollectorService(settings, reload).run(stopping)
        if lock is not None:
            lock.close()
        log.info("stopped")
        return status
    except (
        SettingsError,
        JournalError,
        TickerError,
        FinnhubError,
        PublishError,
        TokenLockError,
        MetricsError,
    ) as error:
        print(error, file=sys.stderr)
        return 1


def _end_on_signals() -> threading.Event:
    """Return an event that SIGTERM or SIGINT sets; what has not ended END_SECONDS later is ended there."""
    stopping = threading.Event()

    def end() -> None:
        log.error("The collector did not end within %g s and is ended now.", END_SECONDS)
        logging.shutdown()
        os._exit(1)

    def stop(*_: object) -> None:
        if not stopping.is_set():
            limit = threading.Timer(END_SECONDS, end)
            limit.daemon = True
            limit.start()
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return stopping


def limited(wait: Wait) -> Wait:
    """Return a way to wait that raises FinnhubUnavailableError beyond LOOKUP_SECONDS from now."""
    deadline = time.monotonic() + LOOKUP_SECONDS

    def wait_within(seconds: float) -> None:
        if time.monotonic() + seconds > deadline:
            raise FinnhubUnavailableError(f"The lookups would have taken over {LOOKUP_SECONDS:.0f} s.")
        wait(seconds)

    return wait_within


def check(settings: CollectorSettings, stopping: threading.Event) -> None:
    """Validate the tickers; a lookup that does not answer is only told, the websocket may still work."""
    try:
        lock = lock_token(settings)
    except TokenLockError as error:
        if error.holder != str(settings.market_home):
            raise
    else:
        if lock is not None:
            lock.close()
    try:
        unknown = unknown_tickers(settings, TickerSource(settings).tickers, limited(stopping.wait))
    except FinnhubUnavailableError as error:
        print(f"{error} The tickers were not validated.", file=sys.stderr)
        return
    if unknown:
        feed = "The demo feed" if settings.feed == "demo" else "Finnhub"
        raise TickerError(f"{feed} did not know {', '.join(unknown)}: fix FINNHUB_STOCKS_TICKERS.")


def search(settings: CollectorSettings, words: str, as_json: bool, stopping: threading.Event) -> None:
    rows = search_tickers(settings, words, stopping.wait)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        print(f"Nothing was found for {words}.")
        return
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in COLUMNS}
    for row in ({name: name for name in COLUMNS}, *rows):
        print("  ".join(row[name].ljust(widths[name]) for name in COLUMNS).rstrip())


if __name__ == "__main__":
    sys.exit(main())
