"""Start and stop of services below a real supervisord, with services that are a line of Python."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ops.errors import MarketError
from ops.inspection.probes import Probe
from ops.install.dependencies import Installed
from ops.lifecycle import stack, supervision
from ops.lifecycle.services import Service
from ops.lifecycle.stack import (
    FOLDERS,
    adopt_running_ports,
    is_supervised,
    read_state,
    start_services,
    stop,
    write_state,
)
from ops.lifecycle.supervision import Supervisor, start_supervisor
from ops.settings import OpsSettings

INSTALLED = Installed(Path("/jvm"), Path("/jars"), Path("/superset"))


def ready(settings: OpsSettings, pid: int) -> str | None:
    return None


def never_ready(settings: OpsSettings, pid: int) -> str | None:
    return "its port was closed"


def service(name: str, script: str, probe: Probe = ready, *depends_on: str, seconds: int = 60) -> Service:
    return Service(name, ("{python}", "-c", script), probe, depends_on, ready_seconds=seconds, stop_seconds=5)


WAITING = "import time; print('up', flush=True); time.sleep(600)"
KAFKA = service("kafka", WAITING)
COLLECTOR = service("collector", WAITING, ready, "kafka")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpsSettings]:
    home = tmp_path / "home"
    for folder in FOLDERS:
        (home / folder).mkdir(parents=True)
    yield OpsSettings(market_home=home)
    for process in psutil.process_iter():
        try:
            if process.environ().get("MARKET_SUPERVISED") == str(home):
                process.kill()
        except psutil.Error:
            continue


def supervise(settings: OpsSettings, *services: Service) -> int:
    start_supervisor(settings, services, "none", INSTALLED)
    write_state(settings.market_home, {"feed": "none", "ports": {"KAFKA_PORT": 1234}, "ready": {}})
    pid = Supervisor(settings.market_home).pid()
    assert pid is not None
    return pid


def test_services_start_in_order_and_stop_in_the_other(settings: OpsSettings) -> None:
    supervisor_pid = supervise(settings, COLLECTOR, KAFKA)
    lines: list[str] = []
    start_services(settings, (COLLECTOR, KAFKA), lines.append)
    assert [line.split()[1] for line in lines] == ["kafka", "collector", "2"]
    pids = read_state(settings.market_home)["ready"]
    running = Supervisor(settings.market_home).processes()
    assert pids == {name: running[name].pid for name in ("kafka", "collector")}
    lines.clear()
    stop(settings.market_home, lines.append)
    assert [line.split()[1] for line in lines[:-1]] == ["collector", "kafka"]
    assert lines[-1] == "Stopped."
    assert not any(map(psutil.pid_exists, pids.values()))
    assert not psutil.pid_exists(supervisor_pid) or psutil.Process(supervisor_pid).status() == "zombie"
    assert not list((settings.market_home / "run").glob("*.json"))
    lines.clear()
    stop(settings.market_home, lines.append)
    assert lines == ["Nothing was running."]


def test_a_service_that_ends_again_and_again_is_named_with_its_error(
    settings: OpsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "MAX_EXITS", 1)
    failing = service("kafka", "raise SystemExit('ERROR: the disk was full')", never_ready)
    supervise(settings, failing)
    with pytest.raises(
        MarketError, match=r"^kafka ended again and again: ERROR: the disk was full \(\./market logs kafka"
    ):
        start_services(settings, (failing,), lambda _: None)


def test_a_service_that_is_not_ready_in_time_is_named_with_the_reason_and_its_last_lines(
    settings: OpsSettings,
) -> None:
    slow = service("kafka", WAITING, never_ready, seconds=2)
    supervise(settings, slow, COLLECTOR)
    with pytest.raises(MarketError, match=r"kafka was not ready within 2 s: its port was closed(?s:.*)up"):
        start_services(settings, (slow, COLLECTOR), lambda _: None)
    assert Supervisor(settings.market_home).processes()["collector"].state == "STOPPED"


def test_a_supervisor_that_hangs_is_ended_with_its_services(
    settings: OpsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = supervise(settings, KAFKA)
    start_services(settings, (KAFKA,), lambda _: None)
    kafka_pid = Supervisor(settings.market_home).processes()["kafka"].pid
    monkeypatch.setattr(supervision, "ANSWER_SECONDS", 0.3)
    os.kill(pid, signal.SIGSTOP)
    assert is_supervised(settings.market_home)
    lines: list[str] = []
    stop(settings.market_home, lines.append)
    assert lines[0] == "The supervisor did not answer; ending it with its services ..."
    assert lines[-1] == "Stopped."
    assert not psutil.pid_exists(kafka_pid)


def test_ports_of_a_running_stack_win_over_the_settings(
    settings: OpsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_PORT", "9092")
    write_state(settings.market_home, {"ports": {"KAFKA_PORT": 1}})
    adopt_running_ports(settings.market_home)
    assert os.environ["KAFKA_PORT"] == "9092"
    supervise(settings, KAFKA)
    adopt_running_ports(settings.market_home)
    assert os.environ["KAFKA_PORT"] == "1234"
