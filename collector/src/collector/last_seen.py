"""The last sign of life of each feed, kept on disk so that a restart knows what it missed."""

import json
import logging
import math
import threading
from pathlib import Path
from typing import Any, NamedTuple

from collector.clock import Clock
from common.files import replace_text
from common.identity import Source

log = logging.getLogger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Seen(NamedTuple):
    """When something last came: by the wall clock, and by the steady clock of one run of the machine."""

    wall: float
    boot: str
    steady: float


def boot_id(path: Path = BOOT_ID) -> str:
    """Return the name of this run of the machine; empty where the system gives none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


class LastSeen:
    """Remembers each source's last sign of life; `save` writes them to a file."""

    def __init__(self, path: Path, clock: Clock, boot: str) -> None:
        self._path = path
        self._clock = clock
        self._boot = boot
        self._guard = threading.Lock()
        self._seen = _read(path)
        self._saved = dict(self._seen)
        self._failed = False

    def note(self, source: Source) -> None:
        """Remember that the source gave a sign of life now."""
        seen = Seen(self._clock.wall(), self._boot, self._clock.steady())
        with self._guard:
            self._seen[source] = seen

    def seconds_since(self, source: Source) -> float | None:
        """Return how long ago the last sign of life was; None for a source never seen.

        NaN when it cannot be known: the machine was restarted since, and its clock was set back.
        """
        with self._guard:
            seen = self._seen.get(source)
        if seen is None:
            return None
        if seen.boot and seen.boot == self._boot:
            return max(self._clock.steady() - seen.steady, 0.0)
        elapsed = self._clock.wall() - seen.wall
        return elapsed if elapsed >= 0 else math.nan

    def save(self) -> None:
        """Write to the file what has changed; a full disk is logged once."""
        with self._guard:
            seen = dict(self._seen)
        if seen == self._saved:
            return
        try:
            replace_text(self._path, json.dumps({source: entry._asdict() for source, entry in seen.items()}))
        except OSError as error:
            if not self._failed:
                log.error("The last sign of life could not be written: %s.", error.strerror)
            self._failed = True
            return
        self._saved, self._failed = seen, False


def _read(path: Path) -> dict[str, Seen]:
    try:
        entries: dict[str, Any] = json.loads(path.read_text())
        seen = {
            source: Seen(float(entry["wall"]), str(entry["boot"]), float(entry["steady"]))
            for source, entry in entries.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        log.warning("%s was damaged: the gap before this start is unknown.", path)
        return {}
    return {source: entry for source, entry in seen.items() if math.isfinite(entry.wall + entry.steady)}
