"""The running collector: its threads, what is due every second, and its end."""

import gc
import logging
import threading
import time
from collections.abc import Sequence

from pydantic import SecretStr

from collector.clock import Clock
from collector.journal import JournalFolder, JournalLimits
from collector.last_seen import LastSeen, boot_id
from collector.metrics import CollectorMetrics, registry
from collector.publisher import Publisher
from collector.receiver import SILENCE_SECONDS, Endpoint, Receiver
from collector.settings import CollectorSettings
from collector.tickers import TickerSource
from collector.token_lock import TokenLock, lock_folder
from common.metrics import MetricsServer
from common.systemd import notify

SERVICE = "collector"
TICK_SECONDS = 1.0
EXPIRE_SECONDS = 60.0
# By default Python looks for cycles, of which there are hardly any, after every 700 new objects. With 20,000
# messages on their way to Kafka that took 14 to 45 % of the time of encoding and sending.
GC_THRESHOLDS = (50_000, 20, 100)
JOIN_SECONDS = 3.0  # a receiver notices within a tick that it is to end; what it holds is written by then

log = logging.getLogger(__name__)


def endpoints(settings: CollectorSettings, tickers: tuple[str, ...]) -> list[Endpoint]:
    """Return the feeds to receive from."""
    feed = Endpoint(
        "feed",
        f"ws://{settings.feed_host}:{settings.feed_port}/",
        SecretStr(SERVICE),
        tickers,
        source=None,
        market="demo" if settings.feed == "demo" else None,
        first_delay=0.2,
        longest_delay=5.0,
        # Without a demo the feed sends a ping a minute and nothing else.
        silence_seconds=settings.finnhub_silence_seconds
        if settings.feed == "demo"
        else max(settings.finnhub_silence_seconds, SILENCE_SECONDS),
    )
    if settings.feed != "live" or settings.finnhub_api_token is None:
        return [feed]
    finnhub = Endpoint(
        "finnhub",
        settings.finnhub_websocket_url,
        settings.finnhub_api_token,
        tickers,
        source="live",
        market="live",
        silence_seconds=settings.finnhub_silence_seconds,
    )
    return [finnhub, feed]


def lock_token(settings: CollectorSettings) -> TokenLock | None:
    """Keep other collectors of this machine from a live feed's token; raise TokenLockError."""
    if settings.feed != "live" or settings.finnhub_api_token is None:
        return None
    url = settings.finnhub_websocket_url
    return TokenLock(settings.finnhub_api_token, url, settings.market_home, lock_folder())


class CollectorService:
    """Receives and publishes; raises JournalError or MetricsError when it cannot begin."""

    def __init__(self, settings: CollectorSettings, reload: threading.Event) -> None:
        self._settings = settings
        self._reload = reload
        clock = Clock()
        folder = settings.market_home / "journal"
        self._journals = JournalFolder(folder, JournalLimits.from_settings(settings))
        self._last_seen = LastSeen(folder / "last-seen.json", clock, boot_id())
        self._tickers = TickerSource(settings)
        self._publisher = Publisher(settings, self._journals)
        self._receivers = [
            Receiver(endpoint, self._journals, self._publisher, self._last_seen)
            for endpoint in endpoints(settings, self._tickers.tickers)
        ]
        self._journal_problem: str | None = None
        self._expired = time.monotonic()
        self._metrics = MetricsServer(
            registry(CollectorMetrics(self._receivers, self._publisher, settings, clock)),
            self.problem,
            host=settings.metrics_listen,
            port=settings.collector_metrics_port,
            setting="COLLECTOR_METRICS_PORT",
        )

    def problem(self) -> str | None:
        """Return in sentences why the collector is not ready, if so."""
        problems = [
            self._publisher.problem,
            self._journal_problem,
            *(receiver.problem for receiver in self._receivers),
        ]
        return " ".join(problem for problem in problems if problem) or None

    def run(self, stopping: threading.Event) -> int:
        """Work until told to stop, or until a thread has ended: the supervisor starts it anew.

        Returns the exit status.
        """
        gc.set_threshold(*GC_THRESHOLDS)
        threads: Sequence[Publisher | Receiver] = [self._publisher, *self._receivers]
        for thread in threads:
            thread.start()
        status = 0
        while not stopping.is_set() and status == 0:
            self._tick()
            stopping.wait(TICK_SECONDS)
            if not all(thread.is_alive() for thread in threads):
                log.error("A thread has ended; see above.")
                status = 1
        self._stop()
        return status

    def _tick(self) -> None:
        """Do what is due once a second."""
        notify("WATCHDOG=1")
        self._last_seen.save()
        force = self._reload.is_set()
        self._reload.clear()
        if self._tickers.poll(force):
            for receiver in self._receivers:
                receiver.set_tickers(self._tickers.tickers)
        if time.monotonic() - self._expired > EXPIRE_SECONDS:
            self._expired = time.monotonic()
            self._journal_problem = self._journals.expire()

    def _stop(self) -> None:
        for receiver in self._receivers:
            receiver.stop()
        deadline = time.monotonic() + JOIN_SECONDS
        for receiver in self._receivers:
            receiver.join(max(deadline - time.monotonic(), 0.0))
        self._last_seen.save()
        self._metrics.close()
        self._publisher.stop()
        self._journals.close()
