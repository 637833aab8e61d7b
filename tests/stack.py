"""A whole stack for tests: the project's own commands in a home and on ports of their own."""

import json
import os
import random
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import psutil
from cassandra.cluster import Session
from dotenv import dotenv_values
from pydantic import SecretStr

from common.cassandra import connect
from common.settings import ROOT, CassandraSettings
from ops.inspection.metrics import sum_samples
from ops.lifecycle.preflight import is_free
from ops.ports import load_ports

RECORDINGS = ROOT.parent / "shared" / "data"
COMMAND_SECONDS = 900

Value = TypeVar("Value")


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nothing listens on, below those that outgoing connections are given."""
    return list(islice(filter(is_free, random.sample(range(20_000, 32_000), 2_000)), count))


def wait_until(value: Callable[[], Value], what: str, seconds: float = 120, every: float = 0.2) -> Value:
    """Return the first true value; fail with `what` when there was none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := value():
            return found
        time.sleep(every)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


class Stack:
    """One home with its ports; `market` runs the project's command in it."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        names = load_ports().by_variable()
        ports = dict(zip(names, map(str, free_ports(len(names))), strict=True))
        self.settings = {"MARKET_HOME": str(home), "FINNHUB_API_TOKEN": "", **ports, **settings}
        self.feed: str | None = None

    @property
    def topic(self) -> str:
        """Return the name of the topic of trades."""
        return self.settings.get("KAFKA_TOPIC_NAME", "market")

    def market(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `./market`; fail with its output when it was to succeed and did not."""
        done = subprocess.run(
            [str(ROOT / "market"), *arguments],
            env=os.environ | self.settings,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert not check or done.returncode == 0, (
            f"market {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        )
        return done

    def ensure(self, feed: str) -> None:
        """Have the stack up with a feed; a change of feed restarts it."""
        if self.feed not in (feed, None):
            self.stop()
        self.market("up", "--feed", feed)
        self.feed = feed

    def stop(self) -> None:
        """Stop everything, and see that no service was killed, for this or for a hang that was none."""
        healing = self.home / "logs" / "healing.log"
        assert "hangs and is killed" not in healing.read_text()
        log = self.home / "logs" / "supervisord.log"
        before = log.stat().st_size
        self.market("down")
        told = log.read_text()[before:]
        assert "killing" not in told, told

    def start_empty(self, feed: str) -> None:
        """Remove all data and start."""
        self.market("reset", "--yes")
        self.feed = None
        self.ensure(feed)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows that Presto gives."""
        return json.loads(self.market("query", sql, "--json").stdout)

    def status(self) -> dict[str, Any]:
        """Return what `status --json` says."""
        return json.loads(self.market("status", "--json").stdout)

    def replay(self, recording: Path, *arguments: str) -> dict[str, Any]:
        """Replay as fast as it goes, wait, and return the figures."""
        return json.loads(
            self.market("replay", str(recording), "--speed", "max", "--wait", "--json", *arguments).stdout
        )

    def received(self) -> int:
        """Return how many trades the running collector has received; 0 while none answers."""
        url = f"http://127.0.0.1:{self.settings['COLLECTOR_METRICS_PORT']}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                samples = sum_samples(answer.read().decode())
        except OSError:
            return 0
        return int(samples.get("market_collector_trades_received_total", 0))

    def kill(self, service: str) -> int:
        """Kill a service's process with -9 and return its pid."""
        pid = int(self.status()["services"][service]["pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    def processes(self) -> list[psutil.Process]:
        """Return every process that belongs to this home."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("MARKET_HOME") == str(self.home) and process.pid != os.getpid():
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def cassandra(self) -> Session:
        """Log in as the role that may read everything."""
        return connect(
            CassandraSettings(cassandra_port=int(self.settings["CASSANDRA_PORT"])),
            "ops",
            SecretStr(self.secrets()["CASSANDRA_OPS_PASSWORD"]),
        )

    def secrets(self) -> dict[str, str]:
        """Return the generated passwords."""
        return {name: value for name, value in dotenv_values(self.home / "secrets.env").items() if value}


def recording(name: str) -> Path:
    """Return the path of a large recording that is kept beside the project, not in it."""
    return RECORDINGS / name
