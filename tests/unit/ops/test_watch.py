"""One look at services that are HTTP servers in this process."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from prometheus_client import CollectorRegistry, Counter
from pydantic import SecretStr

from common.metrics import MetricsServer
from ops.data.archive import backup_file
from ops.data.backup_plan import plan_file
from ops.inspection.probes import fetch
from ops.lifecycle import healing
from ops.lifecycle.services import SERVICES, Service, watched_services
from ops.lifecycle.supervision import Process, Supervisor
from ops.monitoring import state, watch
from ops.monitoring.figures import Figures, Round
from ops.monitoring.samples import labels, parse
from ops.monitoring.watch import Watch
from ops.ports import load_ports
from ops.settings import OpsSettings, WatchSettings
from receiver import receiving
from stack import free_ports
from web_answer import answering

COLLECTOR = Service(
    "collector",
    (),
    lambda settings, pid: None,
    metrics="COLLECTOR_METRICS_PORT",
    answers=("COLLECTOR_METRICS_PORT", "/health"),
)
PRESTO = Service("presto", (), lambda settings, pid: None, answers=("PRESTO_PORT", "/v1/cluster"))
CLUSTER = {
    "runningQueries": 1,
    "queuedQueries": 2,
    "blockedQueries": 0,
    "activeWorkers": 1,
    "reservedMemory": 5.5,
}


class Collector:
    """A collector of one figure, whose health a test sets."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.registry = CollectorRegistry()
        self.refused = Counter("market_collector_trades_dead_lettered", "x", registry=self.registry)

    @contextmanager
    def running(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with MetricsServer(
            self.registry, lambda: self.reason, host="127.0.0.1", port=0, setting="X"
        ) as server:
            monkeypatch.setenv("COLLECTOR_METRICS_PORT", str(server.port))
            yield


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    collector = Collector()
    with collector.running(monkeypatch):
        yield collector


@pytest.fixture
def settings(tmp_path: Path) -> WatchSettings:
    (tmp_path / "run").mkdir()
    (tmp_path / "data" / "watch").mkdir(parents=True)
    return WatchSettings(market_home=tmp_path, watch_metrics_port=free_ports(1)[0])


def value(found: Round, name: str, service: str) -> float | None:
    values = {
        (sample.name, dict(sample.labels)["service"]): sample.value
        for sample in (*found.served, *found.added)
    }
    return values.get((name, service))


def test_a_service_is_up_while_it_answers_and_says_so(collector: Collector, settings: WatchSettings) -> None:
    asked = Figures(settings, [COLLECTOR])
    collector.refused.inc(3)
    found = asked.read()
    assert value(found, "market_service_up", "collector") == 1
    assert value(found, "market_collector_trades_dead_lettered_total", "collector") == 3
    collector.reason = "Kafka does not answer."
    found = asked.read()
    assert value(found, "market_service_up", "collector") == 0
    assert value(found, "market_collector_trades_dead_lettered_total", "collector") == 3


def test_a_backup_is_as_old_as_its_plan_until_it_is_made(settings: WatchSettings) -> None:
    figures, name = Figures(settings, [COLLECTOR]), "market_backup_timestamp_seconds"
    assert value(figures.read(), name, "watch") is None
    for at, file in ((1000, plan_file(settings.market_home)), (500, backup_file(settings.market_home))):
        file.touch()
        os.utime(file, (at, at))
        assert value(figures.read(), name, "watch") == at


def test_a_service_that_does_not_answer_is_down_once_it_was_up_or_should_be(
    collector: Collector, settings: WatchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Figures(settings, [COLLECTOR])
    port = os.environ["COLLECTOR_METRICS_PORT"]
    monkeypatch.setenv("COLLECTOR_METRICS_PORT", str(free_ports(1)[0]))
    starting, late = (
        Figures(settings, [replace(COLLECTOR, ready_seconds=seconds)]).read() for seconds in (600, -1)
    )
    assert value(starting, "market_service_up", "collector") is None
    assert value(late, "market_service_up", "collector") == 0
    assert late.served == []
    assert value(asked.read(), "market_service_up", "collector") == 1
    asked._ports = asked._ports | {"COLLECTOR_METRICS_PORT": int(port) + 1}
    assert value(asked.read(), "market_service_up", "collector") == 0


def test_another_start_is_a_restart_where_nobody_supervises(
    collector: Collector, settings: WatchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Figures(settings, [COLLECTOR])
    restarts = [value(asked.read(), "market_service_restarts_total", "collector") for _ in range(2)]
    collector.registry = CollectorRegistry()
    with collector.running(monkeypatch):
        asked._ports = load_ports().by_variable()
        restarts += [value(asked.read(), "market_service_restarts_total", "collector") for _ in range(2)]
    assert restarts == [0, 0, 1, 1]


def test_restarts_and_memory_are_the_supervisors_where_there_is_one(
    collector: Collector, settings: WatchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = {"collector": Process("RUNNING", os.getpid(), 12.5)}
    monkeypatch.setattr(Supervisor, "pid", lambda self: 1)
    monkeypatch.setattr(Supervisor, "processes", lambda self: processes)
    healing.write_watches(healing.watch_file(settings.market_home), {"collector": healing.Watch(restarts=3)})
    found = Figures(settings, [COLLECTOR]).read()
    assert value(found, "market_service_restarts_total", "collector") == 3
    memory = value(found, "market_service_memory_bytes", "collector")
    assert memory is not None
    assert memory > 1e6
    assert value(found, "market_service_start_timestamp_seconds", "collector") == 12.5
    own = value(found, "market_service_memory_bytes", "watch")
    assert own == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)


def test_prestos_figures_are_its_own(settings: WatchSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200, json.dumps(CLUSTER).encode()) as port:
        monkeypatch.setenv("PRESTO_PORT", str(port))
        found = Figures(settings, [PRESTO]).read()
    assert value(found, "market_presto_queued_queries", "presto") == 2
    assert value(found, "market_presto_reserved_memory_bytes", "presto") == 5.5
    assert value(found, "market_service_up", "presto") == 1


def test_the_disk_and_what_each_service_stores(settings: WatchSettings) -> None:
    folder = settings.market_home / "data" / "collector"
    folder.mkdir()
    (folder / "file").write_bytes(b"x" * 1000)
    found = Figures(settings, [COLLECTOR]).read()
    free = value(found, "market_disk_free_bytes", "watch")
    assert free is not None
    assert free > 1e6
    assert value(found, "market_service_disk_bytes", "collector") == 1000
    assert value(found, "market_disk_days_left", "watch") is None


def test_a_forecast_that_systemd_started_is_known_by_what_it_left_behind(settings: WatchSettings) -> None:
    systemd = settings.model_copy(update={"market_scheduler": "systemd"})
    name = "market_gbm_last_run_timestamp_seconds"
    assert value(Figures(systemd, [COLLECTOR]).read(), name, "gbm-analysis") is None
    outcome = settings.market_home / "run" / "gbm-analysis-outcome.json"
    outcome.write_text(json.dumps({"ended": 7.5, "failed": 2}))
    found = Figures(systemd, [COLLECTOR]).read()
    assert value(found, name, "gbm-analysis") == 7.5
    assert value(found, "market_gbm_last_run_symbols", "gbm-analysis") == 2
    assert value(Figures(settings, [COLLECTOR]).read(), name, "gbm-analysis") is None


def test_every_service_but_the_watch_is_watched_in_one_way_or_another() -> None:
    internal = watched_services(OpsSettings(market_scheduler="internal"))
    assert {service.name for service in SERVICES} - {service.name for service in internal} == {"watch"}
    assert [service.name for service in internal if not (service.metrics or service.answers)] == []
    systemd = watched_services(OpsSettings(market_scheduler="systemd"))
    assert {service.name for service in internal} - {service.name for service in systemd} == {"gbm-analysis"}


def test_a_look_judges_tells_and_serves(
    collector: Collector, settings: WatchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "watched_services", lambda settings: [COLLECTOR])
    with ExitStack() as opened:
        receiver = opened.enter_context(receiving())
        settings = settings.model_copy(update={"market_alerts": SecretStr(receiver.url())})
        watching = opened.enter_context(Watch(settings))
        assert watching.look(0.0) == []
        collector.refused.inc(2)
        [alert] = watching.look(60.0)
        assert alert.key == "UnreadableTrades service=collector"
        assert receiver.messages == [
            f"warning: {alert.summary}\n{alert.meaning}\nWhat helps: {alert.command}"
        ]
        assert state.read(settings.market_home) == (60.0, [alert])
        (settings.market_home / "alerts.yaml").write_text("nonsense")
        assert [alert.key for alert in watching.look(60.0 + 1200)] == ["PriceFile"]
        address = f"http://127.0.0.1:{settings.watch_metrics_port}"
        served, hour = fetch(f"{address}/metrics"), json.loads(fetch(f"{address}/last-hour"))
    samples = {(sample.name, sample.labels): sample.value for sample in parse(served, "watch")}
    assert samples["market_service_up", labels(service="collector")] == 1
    assert samples["market_alerts", labels(service="watch", severity="warning")] == 1
    assert set(hour["services"]) == {"collector", "watch"}
    assert [look["at"] for look in hour["looks"]] == [0.0, 60.0, 1260.0]


def test_a_full_disk_is_told_by_health_and_ends_nothing(
    settings: WatchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "watched_services", lambda settings: [COLLECTOR])
    stopping = threading.Event()
    reasons = []

    def fail(now: float) -> None:
        if reasons:
            stopping.set()
        reasons.append(watching.problem)
        raise OSError(28, "No space left on device")

    with Watch(settings.model_copy(update={"watch_every_seconds": 0.01})) as watching:
        monkeypatch.setattr(watching, "look", fail)
        watching.run(stopping)
    assert reasons == [None, "The alerts could not be written: No space left on device."]
