"""The stream processor on real servers: its metrics."""

import json
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families

import oracle
from common.recording import Frame, encode
from stack import Stack, wait_until
from tables import check

START_MS = 1_600_000_000_000 // 3_600_000 * 3_600_000
SYMBOLS = ("AGAIN:A", "AGAIN:B")
TRADES = 4_000
EVERY_MS = 1_500  # so that they are in two hours
PREFIX = "market_stream_processor_"

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recording of two symbols whose trades come in groups, some of them late."""
    path = tmp_path_factory.mktemp("recording") / "again.jsonl"
    lines = []
    for group in range(TRADES // 8):
        late_ms = 60_000 if group % 10 == 9 else 0
        trades = [
            {
                "c": [["1"], ["1", "12"], None][number % 3],
                "p": 10 + number * 7919 % 1009 / 100,
                "s": SYMBOLS[number % 2],
                "t": START_MS + number * EVERY_MS - late_ms,
                "v": number % 7,
            }
            for number in range(group * 8, group * 8 + 8)
        ]
        lines.append(encode(Frame(START_MS + 86_400_000, json.dumps({"data": trades, "type": "trade"}))))
    path.write_bytes(b"".join(lines))
    return path


@pytest.fixture(scope="module")
def trades(recording: Path) -> pl.DataFrame:
    """Return the recording's trades."""
    return oracle.trades(recording)


@pytest.fixture(scope="module")
def replayed(shared_stack: Stack, recording: Path, trades: pl.DataFrame) -> Stack:
    """Return a stack that holds the recording once."""
    shared_stack.ensure("none")
    figures = shared_stack.replay(recording)
    assert (figures["stored"], figures["dead_lettered"]) == (TRADES, 0)
    check(shared_stack, trades)
    return shared_stack


def metrics(stack: Stack) -> dict[tuple[str, ...], float]:
    """Return the samples by name and labels; none while nothing answers."""
    url = f"http://127.0.0.1:{stack.settings['STREAM_PROCESSOR_METRICS_PORT']}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    return {
        (
            sample.name.removeprefix(PREFIX),
            *(value for _, value in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_metrics_say_what_was_done(replayed: Stack, trades: pl.DataFrame) -> None:
    found = wait_until(
        lambda: (now := metrics(replayed)).get(("lag_messages", "0", "bars")) == 0 and now, "the metrics"
    )
    status = replayed.status()["pipeline"]
    assert found["trades_stored_total",] == status["trades_stored"] >= TRADES
    assert found["bars_written_total",] >= oracle.bars(trades).height
    assert found["late_total",] == status["late"]
    assert found["receipt_to_stored_seconds_count",] == pytest.approx(found["trades_stored_total",])
    lags = {key[1:]: lag for key, lag in found.items() if key[0] == "lag_messages"}
    assert lags == {
        **{(str(partition), query): 0 for query in ("trades", "bars") for partition in range(3)},
        ("0", "events"): 0,
    }
    for query in ("trades", "bars"):
        assert found["batch_seconds_count", query] > 0
        assert found["last_batch_timestamp_seconds", query] <= datetime.now(UTC).timestamp()
    url = f"http://127.0.0.1:{replayed.settings['STREAM_PROCESSOR_METRICS_PORT']}/health"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"ok"
