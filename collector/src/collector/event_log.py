"""Feed events on disk: they are written down before they are sent, so that none is lost."""

import errno
import json
import logging
import os
import threading
from collections import deque
from pathlib import Path

from collector.encoding import Event
from collector.line_file import START, LineFile, Position

log = logging.getLogger(__name__)

MAX_BYTES = 1024**2
MAX_UNWRITTEN = 1000


class EventLog(LineFile):
    """`events.jsonl` of a journal folder; any thread may append to it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "events.jsonl")
        self._guard = threading.Lock()
        self._unwritten: deque[bytes] = deque(maxlen=MAX_UNWRITTEN)
        self._problem_logged = False
        if self.path.exists():
            self.cut_torn_line()

    def append(self, event: Event) -> None:
        """Write an event down; never raises, and keeps it in memory while the disk takes nothing."""
        with self._guard:
            self._unwritten.append(json.dumps(event).encode() + b"\n")
            self._write()

    def write_again(self) -> None:
        """Write what the disk did not take before."""
        if self._unwritten:
            with self._guard:
                self._write()

    def restart_when_large(self, acked: Position) -> bool:
        """Empty a large file when all of it is published; return whether that was done."""
        with self._guard:
            if acked.bytes < MAX_BYTES or acked.bytes != self.path.stat().st_size:
                return False
            # A kill in between publishes the events once more, which changes nothing.
            self.save_acked(START)
            os.truncate(self.path, 0)
            return True

    def _write(self) -> None:
        try:
            while self._unwritten:
                self._write_line(self._unwritten[0])
                self._unwritten.popleft()
        except OSError as error:
            if not self._problem_logged:
                log.error("Feed events could not be written: %s. They are kept in memory.", error.strerror)
            self._problem_logged = True
        else:
            self._problem_logged = False

    def _write_line(self, line: bytes) -> None:
        with self.path.open("ab", buffering=0) as file:
            size = file.tell()
            if file.write(line) != len(line):
                file.truncate(size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def decode_event(line: bytes) -> Event:
    """Read one line of the log; raise ValueError when it does not hold an event."""
    try:
        return Event(*json.loads(line))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None
