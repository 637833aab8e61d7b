"""Metrics as text are figures by name."""

from ops.inspection.metrics import sum_samples

TEXT = """# HELP market_collector_frames_total Frames
# TYPE market_collector_frames_total counter
market_collector_frames_total{feed="finnhub"} 3.0
market_collector_frames_total{feed="feed"} 4.0
# HELP market_collector_connected 1 while connected
# TYPE market_collector_connected gauge
market_collector_connected{feed="a \\"b\\""} 1.0
"""


def test_samples_are_summed_over_their_labels() -> None:
    assert sum_samples(TEXT) == {"market_collector_frames_total": 7.0, "market_collector_connected": 1.0}


def test_nothing_has_no_samples() -> None:
    assert sum_samples("") == {}
