"""Probes against small servers and files."""

import json
import os
import socket
import time
from pathlib import Path

import pytest

from common.heartbeat import MAX_AGE_SECONDS, heartbeat_file, write_heartbeat
from ops.inspection.probes import cassandra, health, heartbeat, http_health, is_open, kafka, presto
from ops.settings import OpsSettings
from stack import free_ports
from web_answer import answering


def test_a_port_is_open_while_something_listens() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert not is_open("127.0.0.1", port)
        listener.listen()
        assert is_open("127.0.0.1", port)


def test_a_page_is_healthy_when_it_answers_well(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = http_health("SUPERSET_PORT", "/health")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with answering(200) as port:
        monkeypatch.setenv("SUPERSET_PORT", str(port))
        assert probe(OpsSettings(), 1) is None
    assert "Connection refused" in str(probe(OpsSettings(), 1))
    with answering(503) as port:
        monkeypatch.setenv("SUPERSET_PORT", str(port))
        reason = probe(OpsSettings(), 1)
        assert reason == f"http://127.0.0.1:{port}/health did not answer: Service Unavailable"


def test_a_service_of_the_project_says_itself_why_it_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = health("COLLECTOR_METRICS_PORT")
    with answering(200) as port:
        monkeypatch.setenv("COLLECTOR_METRICS_PORT", str(port))
        assert probe(OpsSettings(), 1) is None
    assert "did not answer: [Errno 111] Connection refused" in str(probe(OpsSettings(), 1))
    with answering(503, b"no Kafka") as port:
        monkeypatch.setenv("COLLECTOR_METRICS_PORT", str(port))
        assert probe(OpsSettings(), 1) == "no Kafka"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"starting": true}', "it was still starting"),
        (b"<html>", "Expecting value"),
        (b"{}", "'starting'"),
        (b'{"starting": false}', "Presto could not run the query"),
    ],
)
def test_a_presto_that_cannot_be_asked_says_why(body: bytes, reason: str) -> None:
    with answering(200, body) as port:
        assert reason in str(presto(OpsSettings(presto_port=port), 1))


def test_a_server_whose_port_is_closed_is_not_logged_in_to() -> None:
    [port] = free_ports(1)
    closed = f"port {port} was closed"
    assert kafka(OpsSettings(kafka_port=port), 1) == closed
    assert cassandra(OpsSettings(cassandra_port=port), 1) == closed
    assert presto(OpsSettings(presto_port=port), 1) == closed


def test_a_heartbeat_counts_when_it_is_fresh_ready_and_of_the_very_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, probe = OpsSettings(market_home=tmp_path), heartbeat("collector")
    assert probe(settings, os.getpid()) == "it had written no heartbeat yet"
    write_heartbeat(tmp_path, "collector", ready=False)
    assert probe(settings, os.getpid()) == "it was not ready yet"
    write_heartbeat(tmp_path, "collector", ready=False, problems=["no feed", "no Kafka"])
    assert probe(settings, os.getpid()) == "no feed; no Kafka"
    write_heartbeat(tmp_path, "collector", ready=True)
    assert probe(settings, os.getpid()) is None
    assert probe(settings, os.getpid() + 1) == "it had written no heartbeat yet"
    written = json.loads(heartbeat_file(tmp_path, "collector").read_text())["at"]
    monkeypatch.setattr(time, "time", lambda: written + MAX_AGE_SECONDS + 2)
    assert probe(settings, os.getpid()) == f"its last heartbeat was {MAX_AGE_SECONDS + 2:.0f} s old"
