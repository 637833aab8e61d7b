"""The whole stack in containers, on a real Docker engine."""

import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

import oracle
from collector.journal import PACKED
from stack import RECORDINGS, ROOT, free_ports, wait_until

BUILD_SECONDS = 2400
HEALTH_SECONDS = 600
COMMAND_SECONDS = 600
CRYPTO = RECORDINGS / "crypto-20240808.jsonl.gz"
RECORDING = CRYPTO if CRYPTO.exists() else ROOT / "tests" / "data" / "demo.jsonl.gz"
TABLES: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "bars_5s": oracle.bars,
    "running_averages_15s": oracle.running_averages,
}


class Compose:
    """One compose project of its own; `run` fails with what docker said."""

    def __init__(self, project: str) -> None:
        superset, streamlit = free_ports(2)
        self.project = project
        self.settings = {
            "SUPERSET_PORT": str(superset),
            "STREAMLIT_PORT": str(streamlit),
            "FINNHUB_API_TOKEN": "",
            "MARKET_FEED": "",
            **({"MARKET_RECORDINGS": str(RECORDINGS)} if RECORDINGS.exists() else {}),
        }

    def start(self, *arguments: str, **streams: Any) -> "subprocess.Popen[bytes]":
        """Start `docker compose` and return its process."""
        return subprocess.Popen(
            ["docker", "compose", "--project-name", self.project, *arguments],
            cwd=ROOT,
            env=os.environ | self.settings,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | streams),
        )

    def run(self, *arguments: str, seconds: float = COMMAND_SECONDS, **streams: Any) -> str:
        """Run `docker compose` and return what it printed."""
        with self.start(*arguments, **streams) as process:
            try:
                out, errors = (text.decode() if text else "" for text in process.communicate(timeout=seconds))
            finally:
                process.kill()
        assert process.returncode == 0, f"{arguments}:\n{out[-4000:]}\n{errors[-4000:]}"
        return out

    def up(self, *arguments: str, seconds: float = HEALTH_SECONDS) -> None:
        """Start everything and wait for health."""
        self.run("up", "-d", "--wait", "--wait-timeout", str(HEALTH_SECONDS), *arguments, seconds=seconds)

    def market(self, service: str, *arguments: str) -> str:
        """Run the `market` command in a service's container."""
        return self.run("exec", "-T", service, "market", *arguments)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows that Presto gives."""
        return json.loads(self.market("presto", "query", sql, "--json"))

    def forecast(self, symbol: str) -> list[str]:
        """Forecast one symbol in its container; return the states of the attempts that this has stored."""
        attempts = (
            "select forecast_time, status from cassandra.market.gbm_parameters "
            f"where symbol = '{symbol}' and day >= current_date - interval '1' day"
        )
        before = [row["forecast_time"] for row in self.query(attempts)]
        self.market("gbm-analysis", "forecast", "--symbol", symbol)
        return [row["status"] for row in self.query(attempts) if row["forecast_time"] not in before]

    def containers(self, *services: str) -> list[dict[str, Any]]:
        """Return what docker says of each container of the project, or of some services."""
        ids = self.run("ps", "-a", "-q", *services).split()
        return json.loads(subprocess.run(["docker", "inspect", *ids], capture_output=True, check=True).stdout)

    def kill(self, service: str, number: int = 1) -> None:
        """Kill all processes of one of a service's containers, and wait until it has begun anew."""

        def state() -> dict[str, Any]:
            label = "com.docker.compose.container-number"
            (one,) = (
                container
                for container in self.containers(service)
                if container["Config"]["Labels"][label] == str(number)
            )
            return dict(one["State"])

        before = state()
        # The signal ends the shell that sends it too.
        self.start("exec", "-T", "--index", str(number), service, "sh", "-c", "kill -9 -1").communicate()
        wait_until(
            lambda: (now := state())["Running"] and now["StartedAt"] != before["StartedAt"],
            f"another start of {service}",
        )

    def until_healthy(self, *services: str) -> None:
        """Wait until these services' containers are healthy."""

        def ailing() -> list[str]:
            return [
                container["Name"]
                for container in self.containers(*services)
                if container["State"]["Health"]["Status"] != "healthy"
            ]

        wait_until(lambda: not ailing(), f"health of {', '.join(services)}", HEALTH_SECONDS)

    def journals(self) -> list[str]:
        """Return the names of the files that replays were received into."""
        names = self.run("exec", "-T", "collector", "ls", "/market/journal").split()
        return [name for name in names if name.partition(".")[0].endswith("r")]

    def replayed(self, folder: Path) -> pl.DataFrame:
        """Return the trades of all replays as they were received, once their journals are finished."""
        wait_until(lambda: all(name.endswith(PACKED) for name in self.journals()), "finished journals")
        self.run("cp", "collector:/market/journal", str(folder))
        paths = sorted((folder / "journal").glob(f"*r{PACKED}"))
        trades = pl.concat([oracle.trades(path).drop("arrival") for path in paths])
        return trades.with_row_index("arrival")

    def password(self, name: str) -> str:
        """Return a generated password."""
        return self.run(
            "exec", "-T", "superset", "sh", "-c", f". /secrets/secrets.env && echo ${name}"
        ).strip()

    def rows(self, table: str, expected: pl.DataFrame) -> pl.DataFrame:
        """Return a table's rows for the symbols and days of `expected`, shaped as it is."""
        days = {datetime.fromtimestamp(start / 1000, UTC).date() for start in expected["window_start"]}
        symbols = ", ".join(f"'{symbol}'" for symbol in expected["symbol"].unique())
        chosen = ", ".join(f"date '{day}'" for day in days)
        found = self.query(
            f"select {', '.join(expected.columns)} from cassandra.market.{table} "
            f"where symbol in ({symbols}) and day in ({chosen})"
        )
        shaped = [row | {"window_start": milliseconds(row["window_start"])} for row in found]
        return pl.DataFrame(shaped, schema=expected.schema).sort("symbol", "window_start")

    def counted(self, table: str, expected: pl.DataFrame) -> int:
        """Return how many trades a table's rows stand for, of the symbols and days of `expected`."""
        return int(self.rows(table, expected)["trade_count"].sum())

    def check(self, trades: pl.DataFrame) -> None:
        """Compare bars and running averages with polars over the trades."""
        for table, expect_rows in TABLES.items():
            expected = expect_rows(trades)
            assert_frame_equal(self.rows(table, expected), expected, rel_tol=1e-9, abs_tol=1e-9)


def milliseconds(text: str) -> int:
    """Return Presto's UTC time as ms since the epoch."""
    moment = datetime.fromisoformat(text.removesuffix(" UTC")).replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def has_engine() -> bool:
    """Tell whether a Docker engine answers."""
    try:
        return (
            subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
