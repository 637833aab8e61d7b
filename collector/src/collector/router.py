"""Where received frames go: counted, and written to the journal of their source."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import orjson

from collector.activity import Activity
from collector.duplicates import DuplicateDetector
from collector.journal import Journal, JournalFolder, JournalWriter
from common.frames import CONTROL_PREFIX
from common.identity import Source
from common.recording import Frame, frame_text

log = logging.getLogger(__name__)

DISK_RETRY_SECONDS = 1.0
MAX_ERROR_CHARACTERS = 300

Reply = dict[str, object]


@dataclass
class Counters:
    """What was counted since the process started; `frames` are those that went into a journal."""

    frames: int = 0
    trades: int = 0
    repeated: int = 0
    pings: int = 0
    oversized: int = 0
    last_frame: float | None = None
    last_trade: float | None = None


class Router:
    """Takes the frames of one connection after the other, all from the same endpoint.

    `source` is whose frames they are; None is the feed service, which says so by control frames.
    """

    def __init__(
        self,
        journals: JournalFolder,
        source: Source | None,
        activity: Activity,
        on_append: Callable[[], None],
    ) -> None:
        self.counters = Counters()
        self.problem: str | None = None
        self._journals = journals
        self._is_service = source is None
        self._activity = activity
        self._on_append = on_append
        self._duplicates = DuplicateDetector()
        self._stopping = threading.Event()
        self._own = JournalWriter(journals, source, on_append) if source else None
        self._current = self._own
        self._replays: dict[str, JournalWriter] = {}
        self._replies: list[Reply] = []

    def handle_messages(self, frames: Iterable[bytes], received_ms: int, now: float) -> list[str]:
        """Take frames; the next `flush` writes them. Pings hold no data and are only counted.

        `now` is the steady clock's time. Returns the texts of the errors that the feed reports.
        """
        errors = []
        trade_frames: list[bytes] = []
        own_trades: list[Any] = []
        replayed_trades: list[Any] = []
        for frame in frames:
            content = _parse(frame)
            self.counters.last_frame = now
            if self._is_service and frame.startswith(CONTROL_PREFIX) and self._switch(content):
                continue
            kind = content.get("type")
            if kind == "ping":
                self.counters.pings += 1
                continue
            writer = self._current
            if kind == "error" and (writer is None or writer.source != "replay"):
                errors.append(_text(content.get("msg")))
            if writer is None:
                continue
            writer.append(Frame(received_ms, frame_text(frame)))
            self.counters.frames += 1
            if kind == "trade":
                trade_frames.append(frame)
                data = content.get("data")
                if isinstance(data, list):
                    (own_trades if writer is self._own else replayed_trades).extend(data)
        if trade_frames:
            self.counters.repeated += self._duplicates.count_repeats(trade_frames, now)
            self._count_trades(own_trades, replayed_trades, now)
        return errors

    def flush(self) -> None:
        """Write down what was taken. While the disk takes nothing this waits, and so does the feed."""
        for writer in (self._own, *self._replays.values()):
            if writer is not None:
                self._flush(writer)

    def take_replies(self) -> list[Reply]:
        """Return what is to be sent to the feed service."""
        replies, self._replies = self._replies, []
        return replies

    def disconnected(self) -> None:
        """Write down what was taken and finish the replays: their connection has ended."""
        self.flush()
        for run in list(self._replays):
            self._end(run)
        self._replies.clear()
        self._current = self._own

    def stop(self) -> None:
        """Wait for the disk no longer."""
        self._stopping.set()

    def close(self) -> None:
        """Write down what was taken and finish all journals."""
        self.disconnected()
        if self._own is not None:
            _finish(self._own)

    def _flush(self, writer: JournalWriter) -> None:
        while True:
            try:
                writer.flush()
            except OSError as error:
                if self.problem is None:
                    log.error("The journal could not be written: %s. Trying again.", error.strerror)
                self.problem = f"The journal could not be written: {error.strerror}."
                if self._stopping.wait(DISK_RETRY_SECONDS):
                    return
            else:
                if self.problem is not None:
                    log.info("The journal is written again.")
                self.problem = None
                return

    def _count_trades(self, own: list[Any], replayed: list[Any], now: float) -> None:
        count = len(own) + len(replayed)
        if not count:
            return
        self.counters.trades += count
        self.counters.last_trade = now
        for symbol, traded in _count_symbols(own).items():
            self._activity.record(symbol, traded, now)

    def _switch(self, control: dict[str, Any]) -> bool:
        """Follow a control frame: whose frames come next, or that a replay has ended.

        Returns False for one that says neither: it is a frame like any other.
        """
        source, run = control.get("source"), control.get("run")
        if source in ("live", "demo"):
            self._own = self._own or JournalWriter(self._journals, source, self._on_append)
            self._current = self._own
            return True
        if source != "replay" or not isinstance(run, str):
            return False
        if control.get("end"):
            self._end(run)
            self._current = self._own
            self._replies.append({"type": "closed", "run": run})
            return True
        if run not in self._replays:

            def on_open(journal: Journal) -> None:
                self._replies.append({"type": "journal", "run": run, "journal": journal.id})

            self._replays[run] = JournalWriter(self._journals, "replay", self._on_append, on_open)
        self._current = self._replays[run]
        return True

    def _end(self, run: str) -> None:
        writer = self._replays.pop(run, None)
        if writer is not None:
            self._flush(writer)
            _finish(writer)


def _finish(writer: JournalWriter) -> None:
    try:
        writer.close()
    except OSError as error:
        log.error("The last frames could not be written to the journal and are lost: %s.", error.strerror)


def _parse(frame: bytes) -> dict[str, Any]:
    """Return a frame's object; an empty one for anything else."""
    try:
        content = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _count_symbols(trades: list[Any]) -> Counter[str]:
    try:
        return Counter(map(itemgetter("s"), trades))
    except (TypeError, KeyError):
        symbols = (trade.get("s") for trade in trades if isinstance(trade, dict))
        return Counter(symbol for symbol in symbols if isinstance(symbol, str))


def _text(message: object) -> str:
    """Return what an error frame says, whatever its type."""
    text = message if isinstance(message, str) else f"an error without a text ({type(message).__name__})"
    return text[:MAX_ERROR_CHARACTERS]
