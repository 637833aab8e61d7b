"""Starts services anew that hang: they run and were ready, and nothing in them answers any more.

`python -m ops.lifecycle.healing` runs beside the services, below the same supervisor, which starts anew what
is killed here. In a container the health check does the same (`ops.inspection.health`).
"""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil

from common.files import replace_text
from common.hangs import Hearing, stopped
from common.logs import start_logging
from common.settings import SettingsError
from common.systemd import notify
from ops.data.backup_plan import PlannedBackups
from ops.errors import MarketError
from ops.lifecycle.services import Service, supervised_services
from ops.lifecycle.supervision import Process, Supervisor
from ops.settings import OpsSettings

PERIOD_SECONDS = 10.0
# Each restart for a hang doubles the limit, up to this, until there was none for so long.
MOST_DOUBLINGS = 5
CALM_SECONDS = 3600.0

RUNNING = ("STARTING", "RUNNING")

log = logging.getLogger("healing")


@dataclass(frozen=True)
class Watch(Hearing):
    """What is known of a service: of its process, and of how often and why it was started anew.

    The times are of the wall clock. `ending` is why the process was killed, and `healed` how many of the last
    restarts were for a hang.
    """

    pid: int = 0
    ending: str | None = None
    restarts: int = 0
    restarted_at: float | None = None
    reason: str | None = None
    healed: int = 0
    healed_at: float = 0.0

    @property
    def restart_time(self) -> str | None:
        """Return when the process was started anew (UTC, ISO 8601)."""
        if self.restarted_at is None:
            return None
        return datetime.fromtimestamp(self.restarted_at, UTC).isoformat(timespec="seconds")

    def follow(self, process: Process) -> "Watch":
        """Return what is known once the supervisor has told of this process."""
        if process.state in ("STOPPED", "STOPPING"):  # on purpose, so that what comes is no restart
            return replace(self, pid=0)
        if process.pid in (0, self.pid):
            return self
        new = replace(self, pid=process.pid, was_ready=False, silences=0, ending=None)
        if self.pid == 0:
            return new
        reason = self.ending or "it had ended by itself"
        return replace(new, restarts=self.restarts + 1, restarted_at=process.started, reason=reason)

    @property
    def backoff(self) -> int:
        """Return how many times its limit a service is waited for, so that restarts come ever less often."""
        follows = time.time() - self.healed_at < CALM_SECONDS
        return 2 ** min(self.healed, MOST_DOUBLINGS) if follows else 1

    def killed(self, answer: str) -> "Watch":
        """Return what is known once the process was killed for a hang."""
        now = time.time()
        healed = self.healed + 1 if now - self.healed_at < CALM_SECONDS else 1
        return replace(self, ending=f"it did not answer: {answer}", healed=healed, healed_at=now)


UNWATCHED = Watch()


def watch_file(home: Path) -> Path:
    """Return where it is kept what is known of the services of a running stack."""
    return home / "run" / "healing.json"


def read_watches(file: Path) -> dict[str, Watch]:
    """Return what is known of each service; empty where nothing can be read."""
    try:
        return {name: Watch(**known) for name, known in json.loads(file.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def write_watches(file: Path, watches: Mapping[str, Watch]) -> None:
    """Keep what is known of each service; a full disk costs only that."""
    with suppress(OSError):
        replace_text(file, json.dumps({name: asdict(watch) for name, watch in watches.items()}))


def family(root: int) -> list[int]:
    """Return a process and all below it; none where it is gone."""
    try:
        return [root, *(child.pid for child in psutil.Process(root).children(recursive=True))]
    except psutil.Error:
        return []


class Healer:
    """Looks at the services of one home, and kills those that hang."""

    def __init__(self, settings: OpsSettings, services: Sequence[Service]) -> None:
        self.settings = settings
        self._services = services
        self._supervisor = Supervisor(settings.market_home)
        self._file = watch_file(settings.market_home)
        self._watches = read_watches(self._file)

    def look(self) -> None:
        """Look at every service once; raise MarketError when the supervisor does not answer."""
        processes = self._supervisor.processes()
        services = [service for service in self._services if service.name in processes]
        with ThreadPoolExecutor() as pool:
            looks = pool.map(lambda service: self._look_at(service, processes[service.name]), services)
            self._watches = {service.name: watch for service, watch in zip(services, looks, strict=True)}
        write_watches(self._file, self._watches)

    def _look_at(self, service: Service, process: Process) -> Watch:
        known = self._watches.get(service.name, UNWATCHED)
        watch = known.follow(process)
        if watch.restarts > known.restarts:
            log.warning("%s was started anew: %s", service.name, watch.reason)
        if process.pid == 0 or process.state not in RUNNING:
            return watch
        answer = stopped(family(process.pid)) or service.probe(self.settings, process.pid)
        watch = watch.asked(answer, time.monotonic())
        limit = service.hang_seconds * self.settings.market_healing * watch.backoff
        start_limit = service.ready_seconds * watch.backoff
        if not watch.is_hanging(limit, start_limit, time.monotonic()):
            return watch
        # It may have been told to stop while it was asked.
        if Supervisor(self.settings.market_home).processes()[service.name] != process:
            return watch
        log.error("%s hangs and is killed: %s", service.name, answer)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return watch.killed(str(answer))


def main() -> int:
    """Look for ever; return the exit status when the settings are wrong."""
    start_logging(libraries={"cassandra": logging.CRITICAL})
    try:
        settings = OpsSettings.load()
    except SettingsError as error:
        log.error("%s", error)
        return 1
    healer = Healer(settings, supervised_services(settings))
    backups = PlannedBackups(settings.market_home) if settings.market_scheduler == "internal" else None
    while True:
        time.sleep(PERIOD_SECONDS)
        try:
            # Passwords may be new.
            healer.settings = OpsSettings.load()
            healer.look()
            if backups is not None:
                backups.look(datetime.now(UTC))
        except (MarketError, SettingsError) as error:
            log.error("%s", error)
        else:
            # A systemd that started the supervisor starts it anew when it does not answer.
            notify("WATCHDOG=1")


if __name__ == "__main__":
    sys.exit(main())
