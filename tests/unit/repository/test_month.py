"""Five weeks of a stack by a simulated clock: what it keeps on the disk stays bounded.

The servers' own retention is theirs: tests/integration looks whether they are told what the settings say.
"""

import os
import random
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from supervisor.loggers import LevelsByName, LogRecord, RotatingFileHandler

from collector import journal as journal_module
from collector.journal import JournalFolder, JournalLimits, JournalWriter, journal_ids
from collector.settings import CollectorSettings
from common.recording import Frame
from ops.data.backup_plan import make_due_backup, plan_backups
from ops.data.journals import copy_journals
from ops.lifecycle.preflight import folder_bytes
from ops.lifecycle.services import SERVICES
from ops.monitoring import growth
from ops.settings import OpsSettings
from stack import wait_until

DAYS = 35
HOUR = 3600
START = 1_780_000_000 // 86_400 * 86_400
# What an hour brings, in bytes.
FRAMES, FRAME = 20, 500
LOG = LogRecord(LevelsByName.INFO, b"x" * 20_000 + b"\n")
KEEP = 3
JOURNAL_DAYS = 5


class Clock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now = float(START)
        self.module = SimpleNamespace(
            time=lambda: self.now,
            time_ns=lambda: int(self.now * 1e9),
            monotonic=lambda: self.now - START,
        )


class Home:
    """A home whose collector, logs, backups and watch work by a clock."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self.home, self.clock = home, clock
        self.settings = OpsSettings(market_home=home, backup_journal_days=2, market_log_megabytes=1)
        limits = JournalLimits.from_settings(CollectorSettings(journal_retention_days=JOURNAL_DAYS))
        self.journal = JournalFolder(home / "journal", limits)
        self.writer = JournalWriter(self.journal, "live", lambda: None)
        self.random = random.Random(1)
        for folder in ("logs", "tmp"):
            (home / folder).mkdir()
        (home / "data" / "watch").mkdir(parents=True)
        self.logs = [
            RotatingFileHandler(
                str(home / "logs" / f"{service.name}.log"),
                maxBytes=self.settings.market_log_megabytes * 1024**2,
                backupCount=self.settings.market_log_files,
            )
            for service in SERVICES
        ]
        plan_backups(home, "day", KEEP, None, lambda _: None)

    def hour(self) -> None:
        """Let an hour pass: frames, lines of logs, a look for backups, a size that is noted."""
        for _ in range(FRAMES):
            self.writer.append(Frame(int(self.clock.now * 1000), self.random.randbytes(FRAME // 2).hex()))
        self.writer.flush()
        for log in self.logs:
            log.emit(LOG)
        self.clock.now += HOUR
        self.writer.flush()
        for journal in [
            one for journals in self.journal.pending().values() for one in journals if one.closed
        ]:
            os.utime(journal.path, (self.clock.now, self.clock.now))
            self.journal.archive(journal)
        wait_until(lambda: not list((self.home / "journal").glob("*.jsonl")), "compressed journals", every=0)
        assert self.journal.expire() is None
        make_due_backup(
            self.settings, datetime.fromtimestamp(self.clock.now, UTC), lambda _: None, self.back_up
        )
        growth.note_size(self.home, self.clock.now, folder_bytes(self.home))

    def back_up(self, settings: OpsSettings, target: str, report: object) -> None:
        """Write what a backup holds of the journal, and of a store that does not grow."""
        folder = self.home / "tmp"
        since = self.clock.now - settings.backup_journal_days * 86_400
        with Path(target).open("wb") as file:
            file.write(bytes(50_000))
            for copy in copy_journals(self.home / "journal", since, folder):
                file.write(copy.read_bytes())
                copy.unlink()
        os.utime(target, (self.clock.now, self.clock.now))


@pytest.mark.timeout(300)
def test_five_weeks_keep_no_more_than_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(journal_module, "time", clock.module)
    home = Home(tmp_path / "home", clock)
    most: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for hour in range(DAYS * 24):
        home.hour()
        if hour % 6 == 0:
            for part in ("journal", "logs", "backups", "data", "tmp"):
                size = folder_bytes(home.home / part)
                week = hour // (7 * 24)
                most[week][part] = max(most[week][part], size)
    home.journal.close()
    assert len(journal_ids(home.home / "journal")) == JOURNAL_DAYS * 24 + 1  # and that of the last moment
    assert len(list((home.home / "backups").iterdir())) == KEEP
    megabyte, files = home.settings.market_log_megabytes * 1024**2, home.settings.market_log_files + 1
    assert most[4]["logs"] == pytest.approx(len(SERVICES) * files * megabyte, rel=0.1)
    # From the third week on nothing grows; names and compressed sizes differ a little.
    for week in (3, 4):
        for part, size in most[2].items():
            assert most[week][part] <= size * 1.05 + 1000, (week, part)
