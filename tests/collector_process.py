"""A collector of live trades as a process with a home of its own, and one that only says who it is."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from common.metrics import MetricsServer
from common.settings import ROOT
from ops.inspection.metrics import sum_samples
from stack import free_ports

TOKEN = "secret0token"


class Collector:
    """A running collector with a home of its own."""

    def __init__(self, home: Path, feed_port: int, **settings: str) -> None:
        self.home = home
        home.mkdir(exist_ok=True)
        self.port, unused = free_ports(2)
        self._log = (home / "log").open("a")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "collector"],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(str(path) for path in ROOT.glob("*/src")),
                "XDG_CACHE_HOME": str(home.parent),
                "MARKET_HOME": str(home),
                "MARKET_FEED": "live",
                "FINNHUB_API_TOKEN": TOKEN,
                "FINNHUB_WEBSOCKET_URL": f"ws://127.0.0.1:{feed_port}/{TOKEN}",
                "FINNHUB_STOCKS_TICKERS": "AAPL",
                "FEED_PORT": str(unused),
                "KAFKA_PORT": str(unused),
                "KAFKA_COLLECTOR_PASSWORD": "secret0password",
                "COLLECTOR_METRICS_PORT": str(self.port),
                **settings,
            },
            stderr=self._log,
            text=True,
        )

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body; status 0 while nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def received(self) -> float:
        """Return how many trades it has received; 0 while it does not answer."""
        samples = sum_samples(self.get("/metrics")[1])
        return samples.get("market_collector_trades_received_total", 0.0)

    def said(self) -> str:
        """Return its log."""
        return (self.home / "log").read_text()


@contextmanager
def collector_that_says(monkeypatch: pytest.MonkeyPatch, feed: str, home: Path) -> Iterator[None]:
    """Let this process say, as the collector of a home does, what feeds it."""
    registry = CollectorRegistry()
    info = Gauge("market_collector_info", "Who it is", ["feed", "home", "pid"], registry=registry)
    info.labels(feed, str(home), str(os.getpid())).set(1)
    with MetricsServer(registry, lambda: None, host="127.0.0.1", port=0, setting="X") as server:
        monkeypatch.setenv("COLLECTOR_METRICS_PORT", str(server.port))
        yield


@contextmanager
def collector(home: Path, feed_port: int, **settings: str) -> Iterator[Collector]:
    """Run a collector until the end of the block; `settings` are variables of its environment."""
    running = Collector(home, feed_port, **settings)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        print(running.said())
