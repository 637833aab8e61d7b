import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.inspection import doctor
from ops.inspection.doctor import days_left, diagnose, disk, log_errors, stack
from ops.lifecycle.preflight import folder_bytes
from ops.lifecycle.stack import add_used_feed
from ops.settings import OpsSettings
from stack import free_ports


def test_days_left_follow_from_the_growth_so_far() -> None:
    day = 86_400.0
    assert days_left(free_bytes=100, data_bytes=10, age_seconds=day) == pytest.approx(10)
    assert days_left(free_bytes=100, data_bytes=10, age_seconds=60) is None
    assert days_left(free_bytes=100, data_bytes=0, age_seconds=day) is None


def test_a_folder_takes_what_its_files_take(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x" * 1000)
    (tmp_path / "file").write_bytes(b"x" * 24)
    (tmp_path / "broken").symlink_to(tmp_path / "absent")
    assert folder_bytes(tmp_path) == 1024


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


def test_going_live_on_top_of_demo_data_begins_no_new_growth(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    add_used_feed(tmp_path, "demo")
    month_ago = time.time() - 30 * 86_400
    os.utime(data / "feeds", (month_ago, month_ago))
    with (data / "trades").open("wb") as trades:
        trades.truncate(shutil.disk_usage(tmp_path).free // 2)
    add_used_feed(tmp_path, "live")
    assert disk(tmp_path).good
    hours_ago = time.time() - 2 * 3600
    os.utime(data / "feeds", (hours_ago, hours_ago))
    assert not disk(tmp_path).good


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
