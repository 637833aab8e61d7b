"""How fast the collector brings trades from a websocket into Kafka, beside a bare loop without a journal."""

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.figures import Figure, Report, repeat, repeat_pair
from benchmarks.kafka import Kafka, running_kafka
from benchmarks.processes import cpu_seconds, running_process
from benchmarks.sender import Sender, sending
from benchmarks.stack import BenchmarkError

TRADES = 250_000
LATENCY_TRADES_PER_SECOND = 1_000
LATENCY_TRADES = 10_000
CPU_TRADES = 500_000
CPU_ROTATE_MEGABYTES = 16
# The bare loop needs 10 s for as many on a slow machine.
LIMIT_SECONDS = 180.0
POLL_SECONDS = 0.005


def measure(report: Report) -> list[Figure]:
    """Measure throughput in large and small frames, the price in CPU time, and the delay of a trade."""
    figures = []
    with running_kafka(report) as kafka:
        for size in (25, 1):
            name = f"{size}-trade frames"
            report(f"The collector and the bare loop in {name} ...")
            frames = make_frames(TRADES // size, size)
            own, bare = repeat_pair(
                lambda frames=frames: TRADES / collect(kafka, frames),  # type: ignore[misc]
                lambda frames=frames: TRADES / run_bare_loop(kafka, frames),  # type: ignore[misc]
            )
            ratios = tuple(mine / other for mine, other in zip(own, bare, strict=True))
            figures += [
                Figure(f"collector, {name}", "trades/s", own),
                Figure(f"bare loop, {name}", "trades/s", bare),
                Figure(f"of the bare loop's speed, {name}", "x", ratios, limit=0.8),
            ]
        report("CPU time ...")
        used = repeat(lambda: collecting_cpu_seconds(kafka, make_frames(CPU_TRADES // 25, 25)))
        cpu = tuple(seconds * 1e6 / CPU_TRADES for seconds in used)
        figures.append(Figure("CPU time of 1M trades, journals compressed", "s", cpu, "lower", limit=9.0))
        report(f"Delay at {LATENCY_TRADES_PER_SECOND:,} trades/s ...")
        kafka.stamp_on_arrival()
        delays = repeat(lambda: delay(kafka, make_frames(LATENCY_TRADES, 1)))
        figures.append(Figure("receipt to Kafka, 99th percentile", "ms", delays, "lower", limit=50.0))
    return figures


def make_frames(count: int, size: int) -> list[str]:
    """Return frames of `size` trades of one symbol each."""
    source = random.Random(1)
    symbols = ["AAPL", "AMZN", "MSFT", "BINANCE:ETHUSDT", "BINANCE:BTCUSDT", "BINANCE:XRPUSDT"]
    now = time.time_ns() // 1_000_000
    return [
        json.dumps(
            {
                "data": [
                    {
                        "c": None if ":" in symbol else ["1", "12"][: source.randint(1, 2)],
                        "p": round(source.uniform(1, 60_000), 2),
                        "s": symbol,
                        "t": now + number // 50,
                        "v": round(source.uniform(0, 10), 5),
                    }
                    for _ in range(size)
                ],
                "type": "trade",
            },
            separators=(",", ":"),
        )
        for number in range(count)
        for symbol in [symbols[number % len(symbols)]]
    ]


def collect(kafka: Kafka, frames: Sequence[str]) -> float:
    """Return how long the collector takes from the first frame sent to the last one in Kafka."""
    with sending(frames) as sender, running_collector(kafka, sender):
        return until_in_kafka(kafka, sender, len(frames))


def run_bare_loop(kafka: Kafka, frames: Sequence[str]) -> float:
    """Return the same of the bare loop."""
    with sending(frames) as sender:
        command = [
            sys.executable,
            "-m",
            "benchmarks.bare_loop",
            f"ws://127.0.0.1:{sender.port}/",
            str(len(frames)),
        ]
        process = subprocess.Popen(command, env=kafka.environ)
        try:
            return until_in_kafka(kafka, sender, len(frames))
        finally:
            process.wait(LIMIT_SECONDS)


def collecting_cpu_seconds(kafka: Kafka, frames: Sequence[str]) -> float:
    """Return the collector's CPU time for frames that come as fast as it takes them, compression included."""
    rotate = {"JOURNAL_ROTATE_MEGABYTES": str(CPU_ROTATE_MEGABYTES)}
    with sending(frames) as sender, running_collector(kafka, sender, rotate) as (process, home):
        before = cpu_seconds(process)
        until_in_kafka(kafka, sender, len(frames))
        deadline = time.monotonic() + LIMIT_SECONDS
        while len(list((home / "journal").glob("2*.jsonl"))) > 1:
            if time.monotonic() > deadline:
                raise BenchmarkError("The journals were not compressed in time.")
            time.sleep(0.05)
        return cpu_seconds(process) - before


def delay(kafka: Kafka, frames: Sequence[str]) -> float:
    """Return the 99th percentile of the ms from the receipt of a frame until the broker has it."""
    consumer = kafka.consumer()
    starts = kafka.ends(consumer)
    with sending(frames, LATENCY_TRADES_PER_SECOND) as sender, running_collector(kafka, sender):
        until_in_kafka(kafka, sender, len(frames))
    delays: list[float] = [
        message.timestamp()[1] - int(dict(message.headers())["received_ms"])
        for message in kafka.read(consumer, starts, len(frames))
    ]
    consumer.close()
    return statistics.quantiles(delays, n=100)[98]


def until_in_kafka(kafka: Kafka, sender: Sender, count: int) -> float:
    """Send, and return how long it takes until Kafka has `count` messages more."""
    if not sender.wait_for_client(LIMIT_SECONDS):
        raise BenchmarkError("Nobody connected to the sender in time.")
    consumer = kafka.consumer()
    wanted = sum(kafka.ends(consumer).values()) + count
    sender.start()
    while sum(kafka.ends(consumer).values()) < wanted:
        if time.monotonic() - sender.started > LIMIT_SECONDS:
            raise BenchmarkError(f"Kafka did not have {count:,} messages in {LIMIT_SECONDS:.0f} s.")
        time.sleep(POLL_SECONDS)
    seconds = time.monotonic() - sender.started
    consumer.close()
    return seconds


@contextmanager
def running_collector(
    kafka: Kafka, sender: Sender, settings: dict[str, str] | None = None
) -> Iterator[tuple[psutil.Process, Path]]:
    """Run a collector with an empty journal; give its process and its home."""
    with tempfile.TemporaryDirectory(prefix="market-benchmark-") as home:
        environ = {
            **kafka.environ,
            "MARKET_HOME": home,
            "MARKET_FEED": "live",
            "FINNHUB_API_TOKEN": "benchmark",
            "FINNHUB_WEBSOCKET_URL": f"ws://127.0.0.1:{sender.port}",
            "FINNHUB_VALIDATE_TICKERS": "false",
            **(settings or {}),
        }
        with running_process("Collector", [sys.executable, "-m", "collector"], environ) as process:
            yield process, Path(home)
