"""What is known of a service, when it hangs, and that a real supervisor starts it anew."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from common.hangs import Silence
from ops.inspection.probes import Probe
from ops.install.dependencies import Installed
from ops.lifecycle import healing
from ops.lifecycle.healing import (
    CALM_SECONDS,
    MOST_DOUBLINGS,
    UNWATCHED,
    Healer,
    Watch,
    family,
    read_watches,
    watch_file,
    write_watches,
)
from ops.lifecycle.services import Service
from ops.lifecycle.supervision import Process, Supervisor, start_supervisor
from ops.settings import OpsSettings
from stack import wait_until

SILENT = Silence("the port was closed")


def test_the_limit_doubles_with_each_restart_and_is_as_before_after_a_calm_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = 1_000_000.0
    monkeypatch.setattr(time, "time", lambda: clock)
    watch = Watch(pid=7)
    for times in range(MOST_DOUBLINGS + 3):
        assert watch.backoff == 2 ** min(times, MOST_DOUBLINGS)
        watch = watch.killed(SILENT).follow(Process("STARTING", 8 + times, clock))
    clock += CALM_SECONDS
    assert watch.backoff == 1
    assert watch.killed(SILENT).backoff == 2


def test_a_restart_is_counted_with_its_reason_and_what_somebody_does_is_none() -> None:
    first = UNWATCHED.follow(Process("STOPPED", 0, 0)).follow(Process("STARTING", 1, 10))
    assert (first.pid, first.restarts, first.restart_time) == (1, 0, None)
    assert first.asked(None, 0).follow(Process("RUNNING", 1, 10)).was_ready
    gone = first.follow(Process("BACKOFF", 0, 10))
    again = gone.follow(Process("STARTING", 2, 20))
    assert (again.restarts, again.restarted_at, again.reason) == (1, 20, "it had ended by itself")
    killed = again.asked(None, 0).killed(SILENT).follow(Process("EXITED", 0, 20))
    healed = killed.follow(Process("RUNNING", 3, 30))
    assert (healed.restarts, healed.reason) == (2, "it did not answer: the port was closed")
    assert healed.restart_time == "1970-01-01T00:00:30+00:00"
    assert not healed.was_ready
    assert healed.follow(Process("STARTING", 4, 40)).reason == "it had ended by itself"
    for state in ("STOPPING", "STOPPED"):
        on_purpose = healed.follow(Process(state, 3 if state == "STOPPING" else 0, 30))
        assert on_purpose.follow(Process("STARTING", 5, 50)).restarts == 2


def test_what_is_known_is_kept_for_the_next_run(tmp_path: Path) -> None:
    file = tmp_path / "watches.json"
    assert read_watches(file) == {}
    watches = {
        "kafka": Watch(pid=7).asked(SILENT, 1.5).killed(SILENT).follow(Process("RUNNING", 9, 1.5)),
        "feed": UNWATCHED,
    }
    write_watches(file, watches)
    assert read_watches(file) == watches
    for text in ("no JSON", "[]", '{"kafka": {"unknown": 1}}', '{"kafka": 1}'):
        file.write_text(text)
        assert read_watches(file) == {}
    write_watches(tmp_path / "absent" / "file", watches)


# --- with processes, and a real supervisord ---

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def is_running(settings: OpsSettings, pid: int) -> str | None:
    return None


def nobody(settings: OpsSettings, pid: int) -> str | None:
    return Silence("its port was closed")


def waiting(settings: OpsSettings, pid: int) -> str | None:
    return "Kafka did not answer"


def service(name: str, probe: Probe) -> Service:
    return Service(name, ("{python}", "-c", DEAF), probe, stop_seconds=5)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[OpsSettings]:
    home = tmp_path / "home"
    for folder in ("run", "logs", "tmp"):
        (home / folder).mkdir(parents=True)
    yield OpsSettings(market_home=home, market_healing=0.0001)
    for process in psutil.process_iter():
        try:
            if process.environ().get("MARKET_SUPERVISED") == str(home):
                process.kill()
        except psutil.Error:
            continue


def test_what_hangs_is_started_anew_and_nothing_else(settings: OpsSettings) -> None:
    services = (service("kafka", is_running), service("presto", nobody), service("collector", waiting))
    installed = Installed(Path("/jvm"), Path("/jars"), Path("/superset"))
    start_supervisor(settings, services, "none", installed)
    supervisor = Supervisor(settings.market_home)
    for one in services:
        supervisor.start(one.name)
    before = {name: process.pid for name, process in supervisor.processes().items()}
    # One that the supervisor does not know is no error: the stack may be of other settings.
    healer = Healer(settings, (*services, service("superset", nobody)))
    healer.look()
    os.kill(before["kafka"], signal.SIGSTOP)

    def restarted() -> bool:
        healer.look()
        return read_watches(watch_file(settings.market_home))["kafka"].restarts == 1

    wait_until(restarted, "another process", 60, every=0.05)
    after = {name: process.pid for name, process in supervisor.processes().items()}
    assert after["kafka"] not in (0, before["kafka"])
    assert {name for name in before if after[name] != before[name]} == {"kafka"}
    watches = read_watches(watch_file(settings.market_home))
    assert watches["kafka"].pid == after["kafka"]
    assert watches["kafka"].reason == (
        f"it did not answer: its process {before['kafka']} (python) was stopped"
    )
    assert [watches[name].restarts for name in ("presto", "collector")] == [0, 0]
    supervisor.stop("kafka", 5)
    healer.look()
    supervisor.start("kafka")
    healer.look()
    # The next run knows what this one knew.
    Healer(settings, services).look()
    assert read_watches(watch_file(settings.market_home))["kafka"].restarts == 1


def test_a_process_that_is_gone_has_no_family() -> None:
    assert family(os.getpid())[0] == os.getpid()
    assert family(2**22 + 1) == []


def test_the_program_looks_again_and_again_and_tells_systemd(
    settings: OpsSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKET_HOME", str(settings.market_home))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setattr(healing, "PERIOD_SECONDS", 0.01)
    looks: list[bool] = []

    def look(healer: Healer) -> None:
        looks.append(True)
        if len(looks) == 1:
            raise healing.MarketError("the supervisor did not answer")
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Healer, "look", look)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        with pytest.raises(KeyboardInterrupt):
            healing.main()
        assert systemd.recv(100) == b"WATCHDOG=1"
        with pytest.raises(BlockingIOError):
            systemd.recv(100)


def test_a_wrong_setting_ends_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKET_HEALING", "-1")
    assert healing.main() == 1
