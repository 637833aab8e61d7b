"""Planned backups: which one is due, which are kept, and who starts them."""

import os
import subprocess
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from ops.cli import main
from ops.data.backup_plan import Plan, PlannedBackups, make_due_backup, plan_backups, plan_file
from ops.errors import MarketError
from ops.settings import OpsSettings

START = datetime(2026, 3, 1, 23, 59, 30, tzinfo=UTC)


@cache
def settings_of(home: Path) -> OpsSettings:
    """Return the settings of a home, read once for a month of looks."""
    return OpsSettings(market_home=home)


def make(now: datetime, home: Path, lines: list[str], fails: bool = False) -> None:
    """Look for a due backup, which is an empty file of this moment."""

    def write(settings: OpsSettings, target: str, report: object) -> None:
        if fails:
            raise MarketError("Cassandra did not answer.")
        Path(target).touch()
        os.utime(target, (now.timestamp(), now.timestamp()))

    make_due_backup(settings_of(home), now, lines.append, write)


@pytest.mark.parametrize(("every", "per_day"), [("day", 1), ("hour", 24)])
def test_a_month_of_looks_makes_one_backup_a_period_and_keeps_the_newest(
    tmp_path: Path, every: str, per_day: int
) -> None:
    plan_backups(tmp_path, every, 3, None, print)
    seen: set[str] = set()
    now = START
    for _ in range(30 * 24 * 3):
        make(now, tmp_path, [])
        names = {path.name for path in (tmp_path / "backups").iterdir()}
        assert 0 < len(names) <= 3
        seen |= names
        now += timedelta(minutes=20)
    assert len(seen) == 30 * per_day + 1  # the first before midnight
    assert sorted(seen)[-3:] == sorted(names)


def test_a_failed_backup_removes_none_and_the_next_look_tries_again(tmp_path: Path) -> None:
    plan_backups(tmp_path, "day", 1, None, print)
    make(START, tmp_path, [])
    kept = list((tmp_path / "backups").iterdir())
    tomorrow = START + timedelta(days=1)
    with pytest.raises(MarketError, match="Cassandra did not answer"):
        make(tomorrow, tmp_path, [], fails=True)
    assert list((tmp_path / "backups").iterdir()) == kept
    lines: list[str] = []
    make(tomorrow, tmp_path, lines)
    assert [path.name for path in (tmp_path / "backups").iterdir()] == ["market-20260302T235930Z.tar"]
    assert lines == [f"Removed the old backup {kept[0].name}."]


def test_only_what_was_planned_is_ever_removed_and_the_part_of_one_that_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    plan_backups(tmp_path, "hour", 1, folder, print)
    others = [folder / "market-2026-03-01.tar", folder / "notes.part"]
    left = folder / "market-20260301T000000Z.tar.part"
    for path in (*others, left):
        path.touch()
    for hours in range(3):
        make(START + timedelta(hours=hours), tmp_path, [])
    assert sorted(folder.iterdir()) == sorted([*others, folder / "market-20260302T015930Z.tar"])


def test_a_plan_is_changed_and_removed_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MARKET_HOME", str(tmp_path))
    assert main(["backup", "--every", "day", "--keep", "2"]) == 0
    assert f"every day into {tmp_path}/backups, of which the newest 2 are kept" in capsys.readouterr().err
    assert Plan.load(tmp_path) == Plan("day", 2, tmp_path / "backups")
    assert (tmp_path / "backups").stat().st_mode & 0o077 == 0
    assert main(["backup", "--every", "hour", str(tmp_path / "other")]) == 0
    assert Plan.load(tmp_path) == Plan("hour", 7, tmp_path / "other")
    assert main(["backup", "--every", "never"]) == main(["backup", "--planned"]) == 0
    assert Plan.load(tmp_path) is None
    assert main(["backup"]) == 1
    assert "Name the file of the backup, or plan backups by --every day." in capsys.readouterr().err


def test_a_plan_that_cannot_be_kept_or_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MarketError, match="The backup could not be planned"):
        plan_backups(tmp_path, "day", 7, tmp_path / "file" / "folder", print)
    plan_file(tmp_path).write_text("half")
    with pytest.raises(MarketError, match=r"could not be read: plan anew by \./market backup --every day"):
        Plan.load(tmp_path)


def test_the_stack_starts_one_process_for_what_is_due_and_tries_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    class Process:
        ended: int | None = None

        def __init__(self, command: list[str], **_: object) -> None:
            started.append(command)

        def poll(self) -> int | None:
            return Process.ended

    monkeypatch.setattr(subprocess, "Popen", Process)
    backups = PlannedBackups(tmp_path)
    backups.look(START)
    assert started == []
    plan_backups(tmp_path, "day", 7, None, print)
    backups.look(START)
    backups.look(START + timedelta(hours=1))
    assert [command[-2:] for command in started] == [["backup", "--planned"]]
    Process.ended = 1
    backups.look(START + timedelta(minutes=14))
    assert len(started) == 1
    backups.look(START + timedelta(minutes=16))
    assert len(started) == 2
