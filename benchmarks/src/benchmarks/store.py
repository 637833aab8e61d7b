"""Cassandra beside a benchmark's Kafka, and what its tables hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl
import psutil
from cassandra.cluster import Session
from polars.testing import assert_frame_equal
from pydantic import SecretStr

from benchmarks.figures import Report
from benchmarks.kafka import Kafka
from benchmarks.processes import running_process
from benchmarks.stack import BenchmarkError, free_ports
from benchmarks.trades import expected_averages, expected_bars
from common.cassandra import connect
from common.settings import ROOT
from ops.inspection import probes
from ops.settings import OpsSettings

# The JVM and the schema need 15 s on an idle machine.
START_SECONDS = 180.0
EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Store:
    """A running Cassandra; `environ` leads clients there and to Kafka."""

    session: Session
    process: psutil.Process
    environ: dict[str, str]

    def check(self, trades: pl.DataFrame) -> None:
        """Compare trades, bars and running averages with what polars makes of the input.

        Raises BenchmarkError where a column of a row differs.
        """
        for table, expected in (
            ("bars_5s", expected_bars(trades)),
            ("running_averages_15s", expected_averages(trades)),
        ):
            found = self._rows(table, expected)
            try:
                assert_frame_equal(found, expected, rel_tol=1e-9)
            except AssertionError as error:
                reason = " ".join(str(error).split())
                raise BenchmarkError(f"The rows of {table} were not those of the input: {reason}") from None
        # Trades of other runs may share the first and the last hour.
        parts = trades.group_by("symbol", hour=pl.col("t") // 3_600_000 * 3_600_000).agg(
            pl.min("t").alias("first"), pl.max("t").alias("last")
        )
        select = (
            "SELECT count(*) FROM trades WHERE symbol = %s AND hour = %s "
            "AND trade_timestamp >= %s AND trade_timestamp <= %s"
        )
        stored = sum(self.session.execute(select, part).one()[0] for part in parts.rows())
        if stored != trades.height:
            raise BenchmarkError(f"{stored:,} trades were stored, but there were {trades.height:,}.")

    def _rows(self, table: str, expected: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of a table for the symbols and hours of some others, in the same form."""
        days = expected.select(
            "symbol", pl.from_epoch("window_start", time_unit="ms").dt.date().cast(pl.String)
        ).unique()
        first, last = expected.select(pl.min("window_start"), last=pl.max("window_start")).row(0)
        rows = [
            (row[0], milliseconds(row[1]), *row[2:])
            for symbol, day in days.rows()
            for row in self.session.execute(
                f"SELECT {', '.join(expected.columns)} FROM {table} WHERE symbol = %s AND day = %s "
                "AND window_start >= %s AND window_start <= %s",
                (symbol, day, first, last),
            )
        ]
        return pl.DataFrame(rows, schema=expected.schema, orient="row").sort("symbol", "window_start")


def milliseconds(moment: datetime) -> int:
    """Return the driver's naive UTC time as ms since the epoch."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


@contextmanager
def running_store(kafka: Kafka, report: Report) -> Iterator[Store]:
    """Start Cassandra with its schema, and stop it at the end."""
    names = (
        "CASSANDRA_PORT",
        "CASSANDRA_STORAGE_PORT",
        "CASSANDRA_JMX_PORT",
        "SPARK_UI_PORT",
        "STREAM_PROCESSOR_METRICS_PORT",
    )
    ports = dict(zip(names, map(str, free_ports(len(names))), strict=True))
    environ = {**kafka.environ, **ports}
    settings = OpsSettings(
        market_home=kafka.settings.market_home,
        cassandra_port=int(ports["CASSANDRA_PORT"]),
        cassandra_ops_password=SecretStr(environ["CASSANDRA_OPS_PASSWORD"]),
    )
    report("Starting Cassandra ...")
    with running_process(
        "Cassandra",
        [ROOT / "cassandra" / "entrypoint.sh"],
        environ,
        lambda pid: probes.cassandra(settings, pid),
        START_SECONDS,
    ) as process:
        session = connect(settings, "admin", SecretStr(environ["CASSANDRA_ADMIN_PASSWORD"]))
        try:
            yield Store(session, process, environ)
        finally:
            session.cluster.shutdown()
