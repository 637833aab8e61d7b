"""What the stream processor tells a monitoring system."""

from collections.abc import Mapping

import pytest
from confluent_kafka import KafkaException
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream_processor.metrics import Metrics

PREFIX = "market_stream_processor"


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name.removeprefix(f"{PREFIX}_"), *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_counters_begin_at_zero_under_their_documented_names() -> None:
    found = samples(Metrics())
    for name in ("trades_stored", "bars_written", "late", "dead_lettered"):
        assert found[f"{name}_total",] == 0


def test_a_batch_is_counted_for_its_query() -> None:
    metrics = Metrics()
    metrics.add_batch("bars", 0.3)
    metrics.add_batch("bars", 1.5)
    found = samples(metrics)
    assert found["batch_seconds_count", "bars"] == 2
    assert found["batch_seconds_sum", "bars"] == pytest.approx(1.8)
    assert found["batch_seconds_bucket", "0.5", "bars"] == 1
    assert found["batch_seconds_bucket", "2.0", "bars"] == 2
    assert found["last_batch_timestamp_seconds", "bars"] > 0
    assert ("batch_seconds_count", "trades") not in found


def test_latencies_share_out_the_trades_of_a_batch() -> None:
    metrics = Metrics()
    metrics.latency.add(400, [0.05, 0.6, 0.61, 7200])
    metrics.latency.add(10, [-0.2])
    metrics.latency.add(0, [])
    found = samples(metrics)
    name = "receipt_to_stored_seconds"
    assert found[f"{name}_bucket", "0.1"] == 110
    assert found[f"{name}_bucket", "0.6"] == 210
    assert found[f"{name}_bucket", "0.8"] == 310
    assert found[f"{name}_bucket", "3600.0"] == 310
    assert found[f"{name}_bucket", "+Inf"] == found[f"{name}_count",] == 410
    assert found[f"{name}_sum",] == pytest.approx(100 * (0.05 + 0.6 + 0.61 + 7200))


def test_the_lag_is_asked_for_when_the_metrics_are_read() -> None:
    metrics = Metrics()
    lag = {0: 5, 2: 7}
    metrics.watch_lag({"trades": lambda: lag, "bars": lambda: {0: 1}})
    assert samples(metrics)["lag_messages", "2", "trades"] == 7
    lag[2] = 8
    found = samples(metrics)
    assert found["lag_messages", "2", "trades"] == 8
    assert found["lag_messages", "0", "bars"] == 1


def test_without_kafka_there_is_no_lag_and_everything_else() -> None:
    def silent() -> Mapping[int, int]:
        raise KafkaException

    metrics = Metrics()
    metrics.watch_lag({"trades": silent})
    found = samples(metrics)
    assert not any(name == "lag_messages" for name, *_ in found)
    assert found["trades_stored_total",] == 0
