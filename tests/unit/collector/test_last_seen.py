"""The last sign of life, over restarts of the process and of the machine and over changes of its clock."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import pytest

from collector.clock import Clock
from collector.last_seen import LastSeen, boot_id


@dataclass
class Times:
    wall: float = 1_700_000_000.0
    steady: float = 5000.0

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.steady)


def opened(path: Path, times: Times, boot: str = "one") -> LastSeen:
    return LastSeen(path, times.clock(), boot)


def test_nothing_was_seen_before_the_first_sign(tmp_path: Path) -> None:
    seen = opened(tmp_path / "seen.json", Times())
    assert seen.seconds_since("live") is None
    seen.save()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", [0.0, -600.0, 86_400.0])
def test_a_restart_measures_by_the_steady_clock_whatever_the_other_did(tmp_path: Path, step: float) -> None:
    times = Times()
    before = opened(tmp_path / "seen.json", times)
    before.note("live")
    times.steady += 7
    before.note("demo")
    before.save()
    times.steady += 60
    times.wall += 67 + step
    after = opened(tmp_path / "seen.json", times)
    assert after.seconds_since("live") == 67
    assert after.seconds_since("demo") == 60
    assert after.seconds_since("replay") is None


@pytest.mark.parametrize(("boot", "other"), [("one", "two"), ("", "")])
def test_after_a_restart_of_the_machine_the_wall_clock_counts(tmp_path: Path, boot: str, other: str) -> None:
    times = Times()
    before = opened(tmp_path / "seen.json", times, boot)
    before.note("live")
    before.save()
    times.steady, times.wall = 10.0, times.wall + 300
    assert opened(tmp_path / "seen.json", times, other).seconds_since("live") == 300
    times.wall -= 301
    assert math.isnan(opened(tmp_path / "seen.json", times, other).seconds_since("live") or 0)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"live": 1}', '{"live": {"wall": "x"}}'])
def test_a_damaged_file_is_the_same_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "seen.json").write_text(text)
    assert opened(tmp_path / "seen.json", Times()).seconds_since("live") is None


def test_a_file_with_times_that_are_none_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "seen.json").write_text('{"live": {"wall": NaN, "boot": "one", "steady": 1}}')
    assert opened(tmp_path / "seen.json", Times()).seconds_since("live") is None


def test_what_cannot_be_written_is_logged_once_and_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "missing"
    seen = opened(folder / "seen.json", Times())
    seen.note("live")
    seen.save()
    seen.save()
    assert len(caplog.records) == 1
    folder.mkdir()
    seen.save()
    assert json.loads((folder / "seen.json").read_text())["live"]["steady"] == 5000.0


def test_every_run_of_a_machine_has_a_name(tmp_path: Path) -> None:
    assert len(boot_id()) == 36
    assert boot_id(tmp_path / "missing") == ""
