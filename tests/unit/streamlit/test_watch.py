"""What the Pipeline page reads from the watch, as the watch itself says it."""

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from ops.monitoring.last_hour import LastHour
from ops.monitoring.samples import Sample, labels
from stack import free_ports
from streamlit_pages.settings import StreamlitSettings
from streamlit_pages.watch import ServiceState, WatchUnavailableError, read_last_hour
from web_answer import answering


def settings(port: int) -> StreamlitSettings:
    password = SecretStr("x")
    return StreamlitSettings(
        cassandra_streamlit_password=password, kafka_streamlit_password=password, watch_metrics_port=port
    )


def test_services_and_looks_are_those_of_the_watch() -> None:
    hour = LastHour()
    figures = {"up": 1.0, "start_timestamp_seconds": 20.0, "restarts_total": 2.0, "memory_bytes": 3e6}
    found = [
        Sample(f"market_service_{name}", labels(service="kafka"), value) for name, value in figures.items()
    ]
    hour.add(60.0, [*found, Sample("market_service_up", labels(service="feed"), 0.0)])
    hour.add(120.0, [*found, Sample("market_service_restarts_total", labels(service="feed"), 0.0)])
    with answering(200, hour.document().encode()) as port:
        shown = read_last_hour(settings(port))
    start, first, second = (datetime.fromtimestamp(seconds, UTC) for seconds in (20, 60, 120))
    assert shown.at == second
    assert shown.services == (
        ServiceState("feed", None, None, None, 0, None),
        ServiceState("kafka", True, start, first, 2, 3e6),
    )
    assert [(look.at, look.memory) for look in shown.looks] == [
        (first, {"kafka": 3e6}),
        (second, {"kafka": 3e6}),
    ]


def test_a_watch_that_is_away_or_another_server_is_one_sentence() -> None:
    [port] = free_ports(1)
    with pytest.raises(WatchUnavailableError, match=rf"^The watch does not answer at 127\.0\.0\.1:{port}\.$"):
        read_last_hour(settings(port))
    with answering(200) as port, pytest.raises(WatchUnavailableError, match="does not answer"):
        read_last_hour(settings(port))
