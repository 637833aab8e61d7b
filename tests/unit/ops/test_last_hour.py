"""What is kept of an hour of looks, from histograms that prometheus_client made."""

import json
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from ops.monitoring.last_hour import CLOSEST_SECONDS, KEPT_SECONDS, LastHour, quantile
from ops.monitoring.samples import Sample, labels, parse
from stream_processor.metrics import LATENCY_SECONDS, Metrics

PROCESSOR = "stream-processor"


def samples(metrics: Metrics) -> list[Sample]:
    return list(parse(generate_latest(metrics.registry).decode(), PROCESSOR))


def document(hour: LastHour) -> Any:
    return json.loads(hour.document())


def test_batches_and_latency_are_of_what_ended_since_the_look_before() -> None:
    hour, metrics = LastHour(), Metrics()
    metrics.add_batch("trades", 50.0)
    metrics.latency.add(7, [200.0])
    hour.add(60.0, samples(metrics))
    for seconds in (0.25, 0.75):
        metrics.add_batch("trades", seconds)
    metrics.add_batch("bars", 3.0)
    metrics.latency.add(100, [0.5])
    hour.add(120.0, samples(metrics))
    hour.add(180.0, samples(metrics))
    first, second, third = document(hour)["looks"]
    assert (first["batches"], first["latency"]) == ({}, {})
    assert second["batches"] == {"trades": 0.5, "bars": 3.0}
    assert second["latency"] == {"0.5": pytest.approx(0.5), "0.99": pytest.approx(0.598)}
    assert (third["batches"], third["latency"], third["at"]) == ({}, {}, 180.0)


def test_a_processor_that_started_again_counts_from_nothing() -> None:
    hour, metrics = LastHour(), Metrics()
    for _ in range(3):
        metrics.add_batch("trades", 9.0)
    hour.add(60.0, samples(metrics))
    metrics = Metrics()
    metrics.add_batch("trades", 2.0)
    hour.add(120.0, samples(metrics))
    hour.add(180.0, [])
    metrics.add_batch("trades", 4.0)
    hour.add(240.0, samples(metrics))
    metrics.add_batch("trades", 6.0)
    hour.add(300.0, samples(metrics))
    assert [look["batches"].get("trades") for look in document(hour)["looks"]] == [None, 2.0, None, None, 6.0]


def test_services_are_those_of_the_newest_look() -> None:
    hour = LastHour()

    def look(now: float, **up: float) -> None:
        found = [Sample("market_service_up", labels(service=name), value) for name, value in up.items()]
        memory = Sample("market_service_memory_bytes", labels(service="kafka"), 1e6 + now)
        hour.add(now, [*found, memory, Sample("market_alerts", labels(service="watch"), 1.0)])

    look(0.0, feed=1.0)
    look(60.0, kafka=1.0, feed=1.0)
    look(120.0, kafka=1.0, feed=0.0)
    found = document(hour)
    assert found["at"] == 120.0
    assert found["services"] == {
        "kafka": {"up": 1.0, "up_since": 60.0, "memory": 1e6 + 120},
        "feed": {"up": 0.0},
    }
    look(180.0, feed=1.0)
    found = document(hour)
    assert found["services"] == {"feed": {"up": 1.0, "up_since": 180.0}, "kafka": {"memory": 1e6 + 180}}
    assert [look["memory"] for look in found["looks"]] == [
        {"kafka": 1e6 + at} for at in (0.0, 60.0, 120.0, 180.0)
    ]


def test_no_more_than_an_hour_is_kept_and_close_looks_are_not() -> None:
    hour = LastHour()
    for now in range(0, int(KEPT_SECONDS) + 61, 60):
        hour.add(float(now), [])
    times = [look["at"] for look in document(hour)["looks"]]
    assert (times[0], times[-1], len(times)) == (60.0, KEPT_SECONDS + 60, 61)
    between = KEPT_SECONDS + 60 + CLOSEST_SECONDS / 2
    hour.add(between, [])
    found = document(hour)
    assert (found["at"], found["looks"][-1]["at"]) == (between, KEPT_SECONDS + 60)
    hour.add(KEPT_SECONDS + 60 + CLOSEST_SECONDS, [])
    assert document(hour)["looks"][-1]["at"] == KEPT_SECONDS + 60 + CLOSEST_SECONDS


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_quantile_lies_in_the_bucket_of_the_true_one(share: float) -> None:
    values = np.random.default_rng(3).lognormal(-0.5, 1.0, 5_000)
    histogram = Histogram("x", "x", registry=CollectorRegistry(), buckets=LATENCY_SECONDS)
    for value in values:
        histogram.observe(value)
    [family] = histogram.collect()
    buckets = [(float(one.labels["le"]), one.value) for one in family.samples if one.name.endswith("_bucket")]
    exact = np.quantile(values, share)
    place = np.searchsorted(LATENCY_SECONDS, exact)
    low, high = (0.0, *LATENCY_SECONDS)[place], LATENCY_SECONDS[place]
    assert low <= quantile(buckets, share) <= high


def test_what_is_above_the_last_bound_counts_as_that() -> None:
    assert quantile([(1.0, 0.0), (2.0, 1.0), (float("inf"), 4.0)], 0.5) == 2.0
    assert quantile([(1.0, 4.0), (2.0, 4.0), (float("inf"), 4.0)], 0.5) == 0.5
