import os
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter

from collector_process import collector_that_says
from common.metrics import MetricsServer
from ops.inspection.status import (
    ServiceStatus,
    memory,
    pipeline,
    service_status,
    services_status,
    state_of,
    text,
    urls,
)
from ops.lifecycle.healing import Watch
from ops.lifecycle.services import SERVICES, Service
from ops.lifecycle.supervision import Process
from ops.settings import OpsSettings
from stack import free_ports

DOWN = ServiceStatus(
    state="MISSING",
    pid=None,
    port=None,
    ready=False,
    uptime_s=None,
    rss_mb=None,
    reason=None,
    restarts=0,
    restarted_at=None,
    restart_reason=None,
)


@pytest.mark.parametrize(
    ("process", "reason", "was_ready", "uptime", "state"),
    [
        (None, None, False, 0, "MISSING"),
        (Process("STOPPED", 0, 0), None, False, 0, "MISSING"),
        (Process("BACKOFF", 0, 0), "no process", False, 0, "EXITED"),
        (Process("FATAL", 0, 0), "no process", True, 0, "EXITED"),
        (Process("EXITED", 0, 0), "no process", False, 0, "EXITED"),
        (Process("RUNNING", 7, 0), None, False, 1, "READY"),
        (Process("RUNNING", 7, 0), "closed", False, 1, "STARTING"),
        (Process("RUNNING", 7, 0), "closed", False, 601, "UNHEALTHY"),
        (Process("RUNNING", 7, 0), "closed", True, 1, "UNHEALTHY"),
    ],
)
def test_states(
    process: Process | None, reason: str | None, was_ready: bool, uptime: float, state: str
) -> None:
    assert state_of(process, reason, was_ready, uptime, 600) == state


def service(reason: str | None, scheduled: bool = False) -> Service:
    return Service(
        "collector",
        ("x",),
        lambda settings, pid: reason,
        port="COLLECTOR_METRICS_PORT",
        scheduled=scheduled,
    )


@pytest.fixture(autouse=True)
def nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Move the ports away from what may run on this machine."""
    names = ("COLLECTOR_METRICS_PORT", "GBM_ANALYSIS_METRICS_PORT")
    for name, port in zip(names, free_ports(len(names)), strict=True):
        monkeypatch.setenv(name, str(port))


def test_a_service_that_runs_has_its_figures(tmp_path: Path) -> None:
    settings = OpsSettings(market_home=tmp_path)
    process = Process("RUNNING", os.getpid(), time.time() - 100)
    status = service_status(settings, service(None), process, {})
    assert (status["state"], status["pid"], status["ready"]) == ("READY", os.getpid(), True)
    assert status["uptime_s"] is not None
    assert 100 <= status["uptime_s"] < 200
    assert status["rss_mb"] is not None
    assert 10 < status["rss_mb"] < 10_000
    unhealthy = service_status(settings, service("closed"), process, {"collector": os.getpid()})
    assert (unhealthy["state"], unhealthy["ready"], unhealthy["reason"]) == ("UNHEALTHY", False, "closed")
    starting = service_status(settings, service("closed"), process, {"collector": 1})
    assert starting["state"] == "STARTING"
    other = Watch(pid=1, was_ready=True)
    assert service_status(settings, service("closed"), process, {}, other)["state"] == "STARTING"


def test_a_service_that_was_started_anew_says_how_often_when_and_why(tmp_path: Path) -> None:
    settings = OpsSettings(market_home=tmp_path)
    process = Process("RUNNING", os.getpid(), time.time())
    watch = Watch(
        pid=os.getpid(),
        was_ready=True,
        restarts=2,
        restarted_at=1_700_000_000.5,
        reason="it had ended by itself",
    )
    for running, state in ((process, "UNHEALTHY"), (Process("BACKOFF", 0, 0), "EXITED")):
        status = service_status(settings, service("closed"), running, {}, watch)
        assert status["state"] == state
        assert (status["restarts"], status["restarted_at"], status["restart_reason"]) == (
            2,
            "2023-11-14T22:13:20+00:00",
            "it had ended by itself",
        )
    lines = text({"services": {"kafka": status}, "pipeline": {}, "urls": {}}).splitlines()
    assert lines[2] == ("restarts of kafka: 2, the last at 2023-11-14T22:13:20+00:00: it had ended by itself")


def test_what_systemd_started_is_found_by_its_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = OpsSettings(market_home=tmp_path)
    assert service_status(settings, service(None, scheduled=True), None, {})["state"] == "MISSING"
    with collector_that_says(monkeypatch, "live", tmp_path / "of another stack"):
        assert service_status(settings, service(None, scheduled=True), None, {})["state"] == "MISSING"
    with collector_that_says(monkeypatch, "live", tmp_path):
        status = service_status(settings, service(None, scheduled=True), None, {})
        assert (status["state"], status["pid"]) == ("READY", os.getpid())
        assert service_status(settings, service(None), None, {})["state"] == "MISSING"


def test_without_a_supervisor_every_service_is_missing(tmp_path: Path) -> None:
    statuses = services_status(OpsSettings(market_home=tmp_path))
    assert {name: status["state"] for name, status in statuses.items()} == {
        service.name: "MISSING" for service in SERVICES
    }


def test_the_pipeline_adds_up_the_dead_letters_and_knows_nothing_without_its_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = OpsSettings(market_home=tmp_path)
    services = {service.name: DOWN for service in SERVICES}
    ports = ("COLLECTOR_METRICS_PORT", "STREAM_PROCESSOR_METRICS_PORT")
    for port, free in zip(ports, free_ports(2), strict=True):
        monkeypatch.setenv(port, str(free))
    assert set(pipeline(settings, services).values()) == {None}
    registry = CollectorRegistry()
    for name, count in {
        "collector_trades_received": 5,
        "collector_trades_published": 4,
        "collector_trades_dead_lettered": 1,
        "stream_processor_trades_stored": 3,
        "stream_processor_late": 2,
        "stream_processor_dead_lettered": 6,
    }.items():
        Counter(f"market_{name}", name, registry=registry).inc(count)
    with MetricsServer(registry, lambda: None, host="127.0.0.1", port=0, setting="X") as server:
        for port in ports:
            monkeypatch.setenv(port, str(server.port))
        figures = pipeline(settings, services)
    assert figures == {
        "trades_received": 5,
        "trades_published": 4,
        "trades_stored": 3,
        "kafka_lag": None,
        "newest_trade_age_s": None,
        "late": 2,
        "dead_lettered": 7,
    }


def test_a_process_that_is_gone_takes_no_memory() -> None:
    assert memory(2**22 + 1) == 0.0


def test_a_status_is_a_table_for_a_terminal() -> None:
    running: dict[str, Any] = {**DOWN, "state": "READY", "pid": 7, "port": 9092, "uptime_s": 12.34}
    lines = text(
        {
            "services": {"kafka": running, "presto": {**DOWN, "reason": "closed"}},
            "pipeline": {"trades_received": 0, "late": None},
            "urls": {"presto": "http://127.0.0.1:8080"},
            "alerts": [{"severity": "critical", "summary": "kafka did not answer."}],
        }
    ).splitlines()
    assert lines[0].split() == ["SERVICE", "STATE", "PID", "PORT", "UPTIME", "RSS", "MB"]
    assert lines[1].split() == ["kafka", "READY", "7", "9092", "12", "s"]
    assert lines[2].split() == ["presto", "MISSING", "closed"]
    assert [line.split() for line in lines[4:6]] == [["trades_received", "0"], ["late", "unknown"]]
    assert lines[7].split() == ["presto", "http://127.0.0.1:8080"]
    assert lines[9] == "critical: kafka did not answer."


def test_superset_is_where_its_proxy_is() -> None:
    own, public = urls(OpsSettings()), urls(OpsSettings(superset_public_url="https://charts.example.org"))
    assert own["superset"].startswith("http://127.0.0.1:")
    assert public == own | {"superset": "https://charts.example.org"}
