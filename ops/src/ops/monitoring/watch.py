"""One look at the stack after the other."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common.metrics import MetricsServer
from ops.errors import MarketError
from ops.lifecycle.services import watched_services
from ops.monitoring import prices, state
from ops.monitoring.figures import HELP, Figures
from ops.monitoring.last_hour import PATH, LastHour
from ops.monitoring.rules import Alert, Judge, load_rules
from ops.monitoring.samples import Sample
from ops.settings import WatchSettings

SERVICE = "watch"

log = logging.getLogger(__name__)


class Watch:
    """Looks every `WATCH_EVERY_SECONDS`; to be used in a `with`. Raises MetricsError and UrlError."""

    def __init__(self, settings: WatchSettings) -> None:
        self._settings = settings
        self._figures = Figures(settings, watched_services(settings))
        self._judge = Judge(load_rules())
        self._prices = PriceWatch(settings)
        self.problem: str | None = None
        self._served = Served()
        self._last_hour = LastHour()
        self._open = ExitStack()
        folder = settings.market_home / "data" / SERVICE
        folder.mkdir(parents=True, exist_ok=True)
        self._messenger = None
        if settings.market_alerts:  # apprise takes memory, which a watch that tells nobody does not spend
            from ops.monitoring.notification import Messenger, addresses

            urls = settings.market_alerts.get_secret_value()
            self._messenger = Messenger(addresses(urls), folder / "told.json")
        registry = CollectorRegistry()
        registry.register(self._served)
        self._open.enter_context(
            MetricsServer(
                registry,
                lambda: self.problem,
                host=settings.metrics_listen,
                port=settings.watch_metrics_port,
                setting="WATCH_METRICS_PORT",
                documents={PATH: self._last_hour.document},
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def run(self, stopping: threading.Event) -> None:
        """Look until told to stop; a full disk is told by health, and ends nothing."""
        while not stopping.is_set():
            started = time.monotonic()
            try:
                self.look(time.time())
                self.problem = None
            except OSError as error:
                self.problem = f"The alerts could not be written: {error.strerror}."
            stopping.wait(max(self._settings.watch_every_seconds - (time.monotonic() - started), 0.1))

    def look(self, now: float) -> list[Alert]:
        """Look once; return the alerts."""
        found = self._figures.read()
        self._last_hour.add(now, [*found.served, *found.added])
        alerts = self._judge.judge(now, [*found.served, *found.added])
        alerts += self._prices.judge(datetime.fromtimestamp(now, UTC))
        self._served.update(found.added, alerts)
        if self._messenger is not None:
            self._messenger.tell(alerts)
        state.write(self._settings.market_home, now, alerts)
        return alerts


class PriceWatch:
    """Judges prices by the home's file; without one, nobody logs in to Cassandra."""

    def __init__(self, settings: WatchSettings) -> None:
        self._settings = settings

    def judge(self, now: datetime) -> list[Alert]:
        """Return the alerts about prices; a file that is wrong is one too. A store that is away has none."""
        try:
            rules = prices.load(self._settings.market_home)
        except prices.PriceFileError as error:
            return [
                Alert(
                    "PriceFile",
                    "warning",
                    now.timestamp(),
                    str(error),
                    "No price is watched.",
                    f"correct {prices.FILE}",
                )
            ]
        if not rules:
            return []
        from ops.clients import cassandra_session

        try:
            with cassandra_session(self._settings) as session:
                return list(prices.judge(rules, prices.StoredPrices(session), now))
        except MarketError as error:
            log.warning("No price was watched: %s", error)
            return []


class Served(Collector):
    """What the watch serves: its own figures of the last look, and the alerts."""

    def __init__(self) -> None:
        self._samples: Sequence[Sample] = ()
        self._alerts: Sequence[Alert] = ()

    def update(self, samples: Sequence[Sample], alerts: Sequence[Alert]) -> None:
        """Take the figures of a look."""
        self._samples, self._alerts = samples, alerts

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        families: dict[str, Metric] = {}
        for name, own, value in self._samples:
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            names = sorted(key for key, _ in own)
            family = families.setdefault(name, kind(name.removesuffix("_total"), HELP[name], labels=names))
            family.add_metric([text for _, text in sorted(own)], value)  # type: ignore[attr-defined]
        alerts = GaugeMetricFamily("market_alerts", "Alerts that hold", labels=["severity"])
        for severity in ("critical", "warning", "price"):
            alerts.add_metric([severity], sum(alert.severity == severity for alert in self._alerts))
        yield from (*families.values(), alerts)
