"""When a service hangs: it was ready, and nothing in it answers any more."""

import json
import os
import signal
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

# A machine that slept, or had no time for the looks themselves, is no hang of a service.
MIN_SILENCES = 3
# A start that takes longer has failed: minutes are what the slowest takes on a busy machine.
START_SECONDS = 600
# A container's first process, whose output is what Docker logs. A health check has no parent in there, and
# whatever has one ends nothing.
FIRST_OUTPUT = Path("/proc/1/fd/1")
OUTSIDE = 0


class Silence(str):
    """A reason that says that nothing answered, where others come from a service that does."""

    __slots__ = ()


@dataclass(frozen=True)
class Hearing:
    """What was heard from one process; `silent_since` is a time of the steady clock."""

    was_ready: bool = False
    silences: int = 0
    silent_since: float = 0.0

    def asked(self, answer: str | None, now: float) -> Self:
        """Return what is known once it was asked whether it is ready, where None says that it is."""
        if not isinstance(answer, Silence):
            return replace(self, was_ready=self.was_ready or answer is None, silences=0)
        since = self.silent_since if self.silences else now
        return replace(self, silences=self.silences + 1, silent_since=since)

    def is_hanging(self, hang_seconds: float, start_seconds: float, now: float) -> bool:
        """Return whether it hangs; one that was never ready has the time of a start. 0 means never."""
        limit = hang_seconds and (hang_seconds if self.was_ready else start_seconds)
        return limit > 0 and self.silences >= MIN_SILENCES and now - self.silent_since >= limit


def stopped(pids: Iterable[int]) -> Silence | None:
    """Name the first of some processes that was stopped (SIGSTOP), as another may answer in its place."""
    for pid in pids:
        try:
            before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        except OSError:
            continue
        if after.split()[0] == "T":
            return Silence(f"its process {pid} ({before.partition('(')[2]}) was stopped")
    return None


def end_hanging_container(answer: str | None, hang_seconds: float, start_seconds: float) -> None:
    """Kill every process of the container that this health check is of, once its service hangs.

    Docker starts a container anew that has ended, and none that hangs.
    """
    if os.getppid() != OUTSIDE:
        return
    # The folder is empty at each start of the container.
    file = Path(tempfile.gettempdir()) / "hearing.json"
    try:
        known = Hearing(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        known = Hearing()
    now = time.monotonic()
    answer = stopped(int(path.name) for path in Path("/proc").glob("[0-9]*")) or answer
    hearing = known.asked(answer, now)
    with suppress(OSError):
        file.write_text(json.dumps(asdict(hearing)))
    if hearing.is_hanging(hang_seconds, start_seconds, now):
        with suppress(OSError):
            FIRST_OUTPUT.write_text(f"The service hangs and is killed: {answer}\n")
        os.kill(-1, signal.SIGKILL)
