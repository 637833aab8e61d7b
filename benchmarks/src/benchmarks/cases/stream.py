"""How fast trades come from Kafka into rows, bars and running averages, beside a plain consumer.

`BENCHMARK_TRADES` sets the trades of a run; 1,000,000 is the full size.
"""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import polars as pl
import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.figures import REPETITIONS, Better, Figure, Report
from benchmarks.kafka import ANSWER_SECONDS, Kafka, running_kafka
from benchmarks.processes import cpu_seconds, running_process
from benchmarks.stack import BenchmarkError
from benchmarks.store import Store, milliseconds, running_store
from benchmarks.trades import SYMBOLS, Messages, Span, make_messages, make_trades
from common.heartbeat import read_heartbeat
from common.identity import journal_id
from common.kafka import BARS_GROUP, TRADES_GROUP

TRADES = int(os.environ.get("BENCHMARK_TRADES", "200000"))
# 20 s between the trades of two runs, so that they share no running average.
GAP_TRADES = 200 * len(SYMBOLS)
PACED_PER_SECOND = 1_000
PACED_SECONDS = 8
QUIET_PER_SECOND = 20
QUIET_SECONDS = 15
# A start takes 10 s, a run less than a minute, on an idle machine.
LIMIT_SECONDS = 300.0
POLL_SECONDS = 0.05
READ_SECONDS = 0.01


class Runs:
    """The runs of each figure, by its name."""

    def __init__(self) -> None:
        self._runs: dict[str, list[float]] = defaultdict(list)
        self._kinds: dict[str, tuple[str, Better, float | None]] = {}

    def add(
        self, name: str, value: float, unit: str, better: Better = "higher", limit: float | None = None
    ) -> None:
        """Add a run of a figure."""
        self._runs[name].append(value)
        self._kinds[name] = unit, better, limit

    def figures(self) -> list[Figure]:
        """Return the figures in the order in which they came first."""
        return [
            Figure(name, kind[0], tuple(self._runs[name]), *kind[1:]) for name, kind in self._kinds.items()
        ]


def measure(report: Report) -> list[Figure]:
    """Measure throughput, CPU time, delay and a quiet feed, each run with a start of its own."""
    runs = Runs()
    first = count(step=TRADES + GAP_TRADES)
    with running_kafka(report) as kafka, running_store(kafka, report) as store:
        topic = Topic(kafka, kafka.settings.kafka_topic_name)
        for number in range(1, REPETITIONS + 1):
            report(f"Run {number} of {REPETITIONS}: the stream processor ...")
            with running_stream_processor(store) as processor:
                measure_throughput(runs, topic, store, processor, first)
                measure_delay(runs, topic, store, next(first))
                measure_quiet(runs, topic, processor, next(first))
            report(f"Run {number} of {REPETITIONS}: the plain consumer ...")
            measure_plain_consumer(runs, kafka, store, next(first))
    return runs.figures()


def measure_throughput(
    runs: Runs, topic: "Topic", store: Store, processor: psutil.Process, first: Iterator[int]
) -> None:
    """Measure what is sent at once until it is final, and compare the tables with the input."""
    cold, warm, small = (make_trades(Span(next(first), TRADES)) for _ in range(3))
    figures = (
        ("right after a start, 25 a message", cold, 25, 14_000),
        ("warm, 25 a message", warm, 25, 35_000),
        ("warm, 5 a message", small, 5, 25_000),
        ("the same windows again, 25 a message", warm, 25, 16_000),
    )
    for name, trades, size, limit in figures:
        prepared = messages(trades, size)
        before = cpu_seconds(processor), cpu_seconds(store.process)
        runs.add(f"stream, {name}", TRADES / topic.until_final(prepared), "trades/s", limit=limit)
        used = cpu_seconds(processor) - before[0], cpu_seconds(store.process) - before[1]
        of_warm = trades is warm and name.startswith("warm")
        for process, seconds, most in zip(("stream processor", "Cassandra"), used, (28, 25), strict=True):
            runs.add(
                f"CPU time of 1M trades, {name}: {process}",
                seconds * 1e6 / TRADES,
                "s",
                "lower",
                most if of_warm else None,
            )
    store.check(pl.concat(trades for _, trades, *_ in figures))


def measure_delay(runs: Runs, topic: "Topic", store: Store, first: int) -> None:
    """Measure how long a trade takes from the producer until a client can read it."""
    trades = make_trades(Span(first, PACED_PER_SECOND * PACED_SECONDS))
    symbol = SYMBOLS[0]
    times = trades.filter(pl.col("symbol") == symbol)["t"].to_list()
    sent: dict[int, float] = {}
    prepared = messages(trades, 1)
    places = [number for number, (key, *_) in enumerate(prepared) if key == symbol]
    own = dict(zip(places, times, strict=True))

    def note(number: int) -> None:
        if number in own:
            sent[own[number]] = time.monotonic()

    select = store.session.prepare(
        "SELECT trade_timestamp FROM trades WHERE symbol = ? AND hour = ? AND trade_timestamp >= ?"
    )
    waiting, delays = dict.fromkeys(times), []
    sender = threading.Thread(target=topic.send_paced, args=(prepared, PACED_PER_SECOND, note), daemon=True)
    sender.start()
    deadline = time.monotonic() + LIMIT_SECONDS
    while waiting:
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{len(waiting):,} trades were not readable in {LIMIT_SECONDS:.0f} s.")
        oldest = next(iter(waiting))
        rows = store.session.execute(select, (symbol, oldest // 3_600_000 * 3_600_000, oldest)).all()
        now = time.monotonic()
        for row in rows:
            at = milliseconds(row.trade_timestamp)
            if at in waiting:
                del waiting[at]
                delays.append(now - sent[at])
        time.sleep(READ_SECONDS)
    sender.join()
    topic.wait_until_final()
    percentiles = statistics.quantiles(delays, n=100)
    name = f"sent to readable at {PACED_PER_SECOND:,} trades/s"
    runs.add(f"{name}, 50th percentile", percentiles[49], "s", "lower", 0.6)
    runs.add(f"{name}, 99th percentile", percentiles[98], "s", "lower", 1.2)


def measure_quiet(runs: Runs, topic: "Topic", processor: psutil.Process, first: int) -> None:
    """Measure what the stream processor costs while hardly anything comes."""
    prepared = messages(make_trades(Span(first, QUIET_PER_SECOND * QUIET_SECONDS)), 1)
    before = cpu_seconds(processor)
    topic.send_paced(prepared, QUIET_PER_SECOND)
    used = (cpu_seconds(processor) - before) / QUIET_SECONDS
    runs.add(f"CPU time at {QUIET_PER_SECOND} trades/s", used, "cores", "lower", 0.3)
    topic.wait_until_final()


def measure_plain_consumer(runs: Runs, kafka: Kafka, store: Store, first: int) -> None:
    """Measure the peer on a topic of its own that is full."""
    topic = Topic(kafka, f"peer-{first}", create=True)
    trades = make_trades(Span(first, TRADES))
    prepared = messages(trades, 25)
    topic.send(prepared)
    before = cpu_seconds(store.process)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.plain_consumer", topic.name, str(len(prepared))],
        env=store.environ,
        stdout=subprocess.PIPE,
        timeout=LIMIT_SECONDS,
        check=True,
    )
    used = json.loads(done.stdout)
    for_store = cpu_seconds(store.process) - before
    runs.add("plain consumer, 25 a message", TRADES / used["seconds"], "trades/s")
    runs.add("CPU time of 1M trades, plain consumer", used["cpu"] * 1e6 / TRADES, "s", "lower")
    runs.add("CPU time of 1M trades, plain consumer, Cassandra", for_store * 1e6 / TRADES, "s", "lower")
    store.check(trades)


class Topic:
    """A topic of trades, and how far it was processed."""

    def __init__(self, kafka: Kafka, name: str, create: bool = False) -> None:
        self.name = name
        self._kafka = kafka
        login = {**kafka.login, "log_level": 0}
        if create:
            admin = AdminClient(login)  # has to outlive the call's result
            [made] = admin.create_topics([NewTopic(name, 3)]).values()
            made.result(ANSWER_SECONDS)
        self._producer = Producer({**login, "linger.ms": 5, "compression.type": "lz4"})
        self._groups = [
            Consumer({**login, "group.id": group, "enable.auto.commit": False})
            for group in (TRADES_GROUP, BARS_GROUP)
        ]

    def send(self, prepared: Messages) -> None:
        """Send messages, and wait until Kafka has them."""
        for symbol, value, headers in prepared:
            self._produce(symbol, value, headers)
        self._producer.flush(LIMIT_SECONDS)

    def send_paced(
        self, prepared: Messages, per_second: int, note: Callable[[int], None] = lambda number: None
    ) -> None:
        """Send messages at a pace; `note` is called with the number of each when it is sent."""
        started = time.monotonic()
        for number, (symbol, value, headers) in enumerate(prepared):
            time.sleep(max(started + number / per_second - time.monotonic(), 0))
            note(number)
            self._produce(symbol, value, headers)
        self._producer.flush(LIMIT_SECONDS)

    def until_final(self, prepared: Messages) -> float:
        """Send messages, and return the seconds until their rows, bars and averages were stored."""
        started = time.monotonic()
        self.send(prepared)
        self.wait_until_final()
        return time.monotonic() - started

    def wait_until_final(self) -> None:
        """Wait until everything is stored; raise BenchmarkError after the limit."""
        deadline = time.monotonic() + LIMIT_SECONDS
        ends = self._kafka.ends(self._groups[0], self.name)
        places = [TopicPartition(self.name, number) for number in ends]
        while any(
            reached.offset < ends[reached.partition]
            for group in self._groups
            for reached in group.committed(places, timeout=ANSWER_SECONDS)
        ):
            if time.monotonic() > deadline:
                raise BenchmarkError(f"The stream processor was not done in {LIMIT_SECONDS:.0f} s.")
            time.sleep(POLL_SECONDS)

    def _produce(self, symbol: str, value: bytes, headers: dict[str, str]) -> None:
        while True:
            try:
                self._producer.produce(self.name, value, symbol, headers=headers)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._producer.poll(0)


@contextmanager
def running_stream_processor(store: Store) -> Iterator[psutil.Process]:
    """Run the stream processor from its being ready on."""
    home = Path(store.environ["MARKET_HOME"])

    def problem(pid: int) -> str | None:
        heartbeat = read_heartbeat(home, "stream-processor") or {}
        return None if heartbeat.get("pid") == pid and heartbeat["ready"] else "it was not ready in time"

    command = [sys.executable, "-m", "stream_processor"]
    with running_process("Stream processor", command, store.environ, problem, LIMIT_SECONDS) as process:
        yield process


_started = count(time.time_ns() // 1_000_000)


def messages(trades: pl.DataFrame, size: int) -> Messages:
    """Return messages under a journal of their own."""
    return make_messages(trades, size, journal_id(next(_started), "replay"))
