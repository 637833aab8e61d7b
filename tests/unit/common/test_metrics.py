"""The metrics endpoint over real HTTP."""

import http.client
import socket
import time

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from common.metrics import MetricsError, MetricsServer


def serve(registry: CollectorRegistry, reason: str | None = None) -> MetricsServer:
    return MetricsServer(registry, lambda: reason, host="127.0.0.1", port=0, setting="TEST_PORT")


def get(server: MetricsServer, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", path)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def test_counters_are_served_as_prometheus_text() -> None:
    registry = CollectorRegistry()
    frames = Counter("market_frames", "Frames received", registry=registry)
    frames.inc(3)
    started = time.time()
    with serve(registry) as server:
        frames.inc(4)
        status, text = get(server, "/metrics")
    assert status == 200
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    values = {sample.name: sample.value for sample in samples}
    assert started <= values.pop("market_start_timestamp_seconds") <= time.time()
    assert values == {"market_frames_total": 7.0}


@pytest.mark.parametrize("reason, expected", [(None, (200, "ok")), ("no feed", (503, "no feed"))])
def test_health_says_why_a_service_is_not_healthy(reason: str | None, expected: tuple[int, str]) -> None:
    with serve(CollectorRegistry(), reason) as server:
        assert get(server, "/health") == expected


def test_another_path_names_those_that_exist() -> None:
    with serve(CollectorRegistry()) as server:
        assert get(server, "/other") == (404, "There is no /other; there are /metrics and /health.")


def test_a_document_is_made_when_it_is_asked_for() -> None:
    answers = iter(["[1]", "[2]"])
    with MetricsServer(
        CollectorRegistry(),
        lambda: None,
        host="127.0.0.1",
        port=0,
        setting="TEST_PORT",
        documents={"/list": lambda: next(answers)},
    ) as server:
        assert [get(server, "/list") for _ in range(2)] == [(200, "[1]"), (200, "[2]")]
        assert get(server, "/other")[1] == "There is no /other; there are /metrics, /list and /health."


def test_a_taken_port_is_one_sentence_that_names_the_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(MetricsError, match=rf"127\.0\.0\.1:{port} .*: set TEST_PORT to a free port\.$"):
            MetricsServer(CollectorRegistry(), lambda: None, host="127.0.0.1", port=port, setting="TEST_PORT")


def test_a_closed_server_lets_its_port_go() -> None:
    server = serve(CollectorRegistry())
    server.close()
    again = MetricsServer(
        CollectorRegistry(), lambda: None, host="127.0.0.1", port=server.port, setting="TEST_PORT"
    )
    again.close()
