import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.inspection import doctor
from ops.inspection.doctor import alerts, diagnose, disk, log_errors, stack
from ops.monitoring import growth, state
from ops.monitoring.rules import Alert
from ops.settings import OpsSettings
from stack import free_ports


@pytest.fixture
def free_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpsSettings]:
    """Give a home without a stack, whose ports are free."""
    from ops.ports import load_ports

    names = load_ports().by_variable()
    for name, port in zip(names, free_ports(len(names)), strict=True):
        monkeypatch.setenv(name, str(port))
    yield OpsSettings(market_home=tmp_path)


def test_a_port_that_is_taken_is_a_finding_with_its_fix(free_settings: OpsSettings) -> None:
    import socket

    assert all(finding.good for finding in stack(free_settings))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", int(os.environ["KAFKA_PORT"])))
        listener.listen()
        [bad] = [finding for finding in stack(free_settings) if not finding.good]
    assert f"port {os.environ['KAFKA_PORT']} (KAFKA_PORT) was taken" in bad.what
    assert bad.fix == "stop that, or set KAFKA_PORT to a free port"


def test_processes_without_their_supervisor_are_a_finding(
    free_settings: OpsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "find_orphans", lambda home: [1, 2])
    [bad] = stack(free_settings)
    assert (bad.good, bad.what) == (False, "2 processes had lost their supervisor")
    assert "./market up" in bad.fix


def test_a_full_disk_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk(tmp_path).good
    monkeypatch.setattr(doctor, "NEEDED_DISK_GB", 1e9)
    assert not disk(tmp_path).good
    assert "retention" in disk(tmp_path).fix


def test_a_disk_that_lasts_a_few_days_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "data" / "watch").mkdir(parents=True)
    a_day_ago = time.time() - 86_400
    growth.note_size(tmp_path, a_day_ago, 0)
    assert disk(tmp_path).good
    free = shutil.disk_usage(tmp_path).free
    with (tmp_path / "data" / "grown").open("wb") as sparse:
        sparse.truncate(free)
    found = disk(tmp_path)
    assert not found.good
    assert "enough for 1 days of such growth" in found.what


def test_the_alerts_that_hold_are_findings_with_their_cures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = OpsSettings(market_home=tmp_path)
    assert list(alerts(settings)) == []
    monkeypatch.setattr(doctor, "is_supervised", lambda home: True)
    [unwatched] = alerts(settings)
    assert (unwatched.good, unwatched.fix) == (False, "see ./market logs watch")
    (tmp_path / "run").mkdir()
    alert = Alert(
        "DeadLetters", "warning", 1.0, "9 trades were refused.", "They are kept.", "./market dead-letters"
    )
    state.write(tmp_path, time.time() - 60, [alert])
    [bad] = alerts(settings)
    assert bad == (False, "9 trades were refused. They are kept.", "./market dead-letters")
    state.write(tmp_path, time.time(), [])
    [good] = alerts(settings)
    assert good.good
    state.write(tmp_path, time.time() - 600, [])
    [late] = alerts(settings)
    assert late == unwatched


def test_errors_in_the_logs_are_shown_with_the_last_of_them(tmp_path: Path) -> None:
    settings = OpsSettings(market_home=tmp_path)
    assert list(log_errors(settings)) == []
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "kafka.log").write_text("ERROR first\nINFO fine\nERROR second\n")
    [finding] = log_errors(settings)
    assert finding.what == "kafka logged 2 errors lately, the last one: ERROR second"


def test_everything_is_checked_without_a_stack(free_settings: OpsSettings) -> None:
    checked = " ".join(finding.what for finding in diagnose(free_settings))
    for word in ("Java", "clock", "memory", "disk", "the stack was not running", "KAFKA_PORT"):
        assert word in checked
