"""A whole stack for benchmarks, in a home and on ports of its own."""

import os
import random
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cassandra.cluster import Session
from dotenv import dotenv_values
from pydantic import SecretStr

from benchmarks.figures import Report
from common.cassandra import connect
from common.settings import ROOT, CassandraSettings
from ops.lifecycle.preflight import is_free
from ops.ports import load_ports

# The first start of a machine installs everything.
START_SECONDS = 1800.0
COMMAND_SECONDS = 900.0


class BenchmarkError(Exception):
    """Say in one sentence why there is no result."""


@dataclass(frozen=True)
class Stack:
    """A running stack; `environ` leads its commands there."""

    home: Path
    environ: dict[str, str]

    def market(self, *arguments: str, timeout: float = COMMAND_SECONDS) -> str:
        """Run `./market` and return its output; raise BenchmarkError with its last words."""
        done = subprocess.run(
            [str(ROOT / "market"), *arguments],
            env=os.environ | self.environ,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
            raise BenchmarkError(f"./market {' '.join(arguments)} failed: {last}")
        return done.stdout

    @contextmanager
    def cassandra(self) -> Iterator[Session]:
        """Log in to Cassandra as its administrator."""
        settings = CassandraSettings(cassandra_port=int(self.environ["CASSANDRA_PORT"]))
        password = dotenv_values(self.home / "secrets.env")["CASSANDRA_ADMIN_PASSWORD"] or ""
        session = connect(settings, "admin", SecretStr(password))
        try:
            yield session
        finally:
            session.cluster.shutdown()


@contextmanager
def running_stack(report: Report, feed: str = "none") -> Iterator[Stack]:
    """Start a stack, and stop and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="market-benchmark-") as folder:
        names = load_ports().by_variable()
        ports = dict(zip(names, map(str, free_ports(len(names))), strict=True))
        stack = Stack(Path(folder), {"MARKET_HOME": folder, "FINNHUB_API_TOKEN": "", **ports})
        report("Starting a stack ...")
        try:
            stack.market("up", "--feed", feed, timeout=START_SECONDS)
            yield stack
        finally:
            stack.market("down")


def free_ports(count: int) -> list[int]:
    """Return free ports below those that outgoing connections are given."""
    return list(islice(filter(is_free, random.sample(range(20_000, 32_000), 2_000)), count))
