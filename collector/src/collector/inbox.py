"""Where received frames go: counted, and written down in the journal of their source."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from collector.journal import Journal, JournalFolder, JournalWriter
from common.identity import Source
from common.recording import Frame

log = logging.getLogger(__name__)

CONTROL_PREFIX = '{"type":"source"'
REPEAT_MS = 60_000
REMEMBERED_FRAMES = 100_000
DISK_RETRY_SECONDS = 1.0


@dataclass
class Figures:
    """What was counted since the process started; `frames` are those that went into a journal."""

    frames: int = 0
    trades: int = 0
    duplicates: int = 0
    pings: int = 0


class RepeatCounter:
    """Notices texts that come again within a minute; remembers a limited number of them."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._order: deque[tuple[int, int]] = deque()

    def is_repeat(self, text: str, received_ms: int) -> bool:
        """Tell whether the same text came within the last minute, and remember it."""
        order, seen = self._order, self._seen
        while order and (order[0][0] < received_ms - REPEAT_MS or len(order) >= REMEMBERED_FRAMES):
            old_ms, old = order.popleft()
            if seen.get(old) == old_ms:
                del seen[old]
        key = hash(text)
        repeat = key in seen
        seen[key] = received_ms
        order.append((received_ms, key))
        return repeat


class Inbox:
    """Takes the frames of one connection after the other, all from the same endpoint.

    `source` is whose frames they are; None is the feed service, which says so by control frames. Anything
    that has to be told back goes through `answer`, an error of the feed through `complain`.
    """

    def __init__(
        self,
        journals: JournalFolder,
        source: Source | None,
        grown: Callable[[], None],
        answer: Callable[[dict[str, object]], None],
        complain: Callable[[str], None],
    ) -> None:
        self.figures = Figures()
        self.problem: str | None = None
        self._journals = journals
        self._is_service = source is None
        self._grown = grown
        self._answer = answer
        self._complain = complain
        self._repeats = RepeatCounter()
        self._stopping = threading.Event()
        self._own = JournalWriter(journals, source, grown) if source else None
        self._current = self._own
        self._replays: dict[str, JournalWriter] = {}

    def take(self, text: str) -> None:
        """Take a frame; it is written down by the next `flush`. Pings hold no data and are only counted."""
        received_ms = time.time_ns() // 1_000_000
        if self._is_service and text.startswith(CONTROL_PREFIX):
            self._switch(orjson.loads(text))
            return
        kind, frame = _type_of(text)
        if kind == "ping":
            self.figures.pings += 1
            return
        writer = self._current
        if kind == "error" and (writer is None or writer.source != "replay"):
            self._complain(str(frame.get("msg"))[:300])
        if writer is None:
            return
        writer.append(Frame(received_ms, text))
        self.figures.frames += 1
        if kind == "trade":
            trades = frame.get("data")
            self.figures.trades += len(trades) if isinstance(trades, list) else 0
            self.figures.duplicates += self._repeats.is_repeat(text, received_ms)

    def flush(self) -> None:
        """Write down what was taken. While the disk takes nothing this waits, and so does the feed."""
        if self._current is None:
            return
        while True:
            try:
                self._current.flush()
            except OSError as error:
                if self.problem is None:
                    log.error("The journal could not be written: %s. Trying again.", error.strerror)
                self.problem = f"The journal could not be written: {error.strerror}."
                if self._stopping.wait(DISK_RETRY_SECONDS):
                    return
            else:
                self.problem = None
                return

    def leave(self) -> None:
        """Write down what was taken and finish the replays: their connection has ended."""
        self.flush()
        for run in list(self._replays):
            self._end(run)
        self._current = self._own

    def stop(self) -> None:
        """Wait for the disk no longer."""
        self._stopping.set()

    def close(self) -> None:
        """Write down what was taken and finish all journals."""
        self.leave()
        if self._own is not None:
            _finish(self._own)

    def _switch(self, control: dict[str, Any]) -> None:
        """Follow a control frame: whose frames come next, or that a replay has ended."""
        self.flush()
        if control["source"] != "replay":
            self._own = self._own or JournalWriter(self._journals, control["source"], self._grown)
            self._current = self._own
            return
        run = str(control["run"])
        if control.get("end"):
            self._end(run)
            self._current = self._own
            self._answer({"type": "closed", "run": run})
            return
        if run not in self._replays:

            def opened(journal: Journal) -> None:
                self._answer({"type": "journal", "run": run, "journal": journal.id})

            self._replays[run] = JournalWriter(self._journals, "replay", self._grown, opened)
        self._current = self._replays[run]

    def _end(self, run: str) -> None:
        writer = self._replays.pop(run, None)
        if writer is not None:
            _finish(writer)


def _finish(writer: JournalWriter) -> None:
    try:
        writer.close()
    except OSError as error:
        log.error("The last frames could not be written to the journal and are lost: %s.", error.strerror)


def _type_of(text: str) -> tuple[object, dict[str, Any]]:
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None, {}
    return (frame.get("type"), frame) if isinstance(frame, dict) else (None, {})
