"""Planned backups: how often one is made, and how many are kept."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Self

from common.files import replace_text
from ops.data.backup import PART, backup
from ops.errors import MarketError
from ops.report import Report
from ops.settings import OpsSettings

PERIODS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
NAME = "market-{:%Y%m%dT%H%M%SZ}.tar"
NAMES = f"market-{'[0-9]' * 8}T{'[0-9]' * 6}Z.tar"


class Plan(NamedTuple):
    """What is made at the first look of each hour or day (UTC), and where the newest are kept."""

    every: str
    keep: int
    folder: Path

    @classmethod
    def load(cls, home: Path) -> Self | None:
        """Return the plan of a home, or None where there is none."""
        try:
            every, keep, folder = json.loads(plan_file(home).read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise MarketError(
                f"The plan in {plan_file(home)} could not be read: plan anew by ./market backup --every day."
            ) from None
        return cls(every, keep, Path(folder))

    def save(self, home: Path) -> None:
        """Keep the plan; the folder is made, or MarketError raised."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_text(plan_file(home), json.dumps([self.every, self.keep, str(self.folder)]))
        except OSError as error:
            raise MarketError(f"The backup could not be planned: {error}.") from None

    def made(self) -> list[Path]:
        """Return the planned backups that are there, oldest first."""
        return sorted(self.folder.glob(NAMES))

    def is_due(self, now: datetime) -> bool:
        """Return whether there is no backup of this hour or day."""
        period = PERIODS[self.every]
        newest = max((path.stat().st_mtime for path in self.made()), default=None)
        return newest is None or newest // period.total_seconds() < now.timestamp() // period.total_seconds()


def plan_file(home: Path) -> Path:
    """Return where the plan of a home is kept."""
    return home / "backup-plan.json"


def plan_backups(home: Path, every: str, keep: int, folder: Path | None, report: Report) -> None:
    """Make, change or remove (`never`) the plan."""
    if every == "never":
        plan_file(home).unlink(missing_ok=True)
        report("No backups are planned any more; those that were made stay.")
        return
    plan = Plan(every, keep, (folder or home / "backups").absolute())
    plan.save(home)
    report(f"A backup every {every} into {plan.folder}, of which the newest {keep} are kept.")


def make_due_backup(
    settings: OpsSettings,
    now: datetime,
    report: Report,
    make: Callable[[OpsSettings, str, Report], None] = backup,
) -> None:
    """Make the planned backup where it is due, then remove those that are too many."""
    plan = Plan.load(settings.market_home)
    if plan is None or not plan.is_due(now):
        return
    for left in plan.folder.glob(f"{NAMES}{PART}"):  # of one that was killed
        left.unlink(missing_ok=True)
    make(settings, str(plan.folder / NAME.format(now)), report)
    for path in plan.made()[: -plan.keep]:
        path.unlink(missing_ok=True)
        report(f"Removed the old backup {path.name}.")


class PlannedBackups:
    """Starts a process for each backup that is due; a failed one is tried again after a while."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._next = datetime.min.replace(tzinfo=UTC)

    def look(self, now: datetime) -> None:
        """Start what is due, unless it runs already; raise MarketError about a plan that cannot be read."""
        if self._process is not None and self._process.poll() is None:
            return
        plan = Plan.load(self._home)
        if plan is not None and now >= self._next and plan.is_due(now):
            self._next = now + timedelta(minutes=15)
            command = [sys.executable, "-P", "-m", "ops", "backup", "--planned"]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
