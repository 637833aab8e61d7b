"""The journal: every received frame, written down before it is published.

A journal is a recording under an id of its own. `<id>.jsonl` is being written, or not all of it is known to
be in Kafka; beside it `<id>.acked` says how much is. `<id>.jsonl.gz` is finished and in Kafka to its end.
"""

import errno
import fcntl
import gzip
import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

from common.identity import JOURNAL_ID_PATTERN, Source, journal_id, journal_source, journal_started_ms
from common.recording import Frame, encode

log = logging.getLogger(__name__)

PLAIN, PACKED, ACKED = ".jsonl", ".jsonl.gz", ".acked"
DAY_SECONDS = 86_400.0
BLOCK_BYTES = 1024**2


class JournalError(Exception):
    """Say in one sentence why the journal cannot be used."""


class Position(NamedTuple):
    """A place in a journal: so many whole lines, so many bytes."""

    lines: int
    bytes: int


START = Position(0, 0)


class Journal:
    """One journal that is still being written or published."""

    def __init__(self, path: Path, closed: bool) -> None:
        self.path = path
        self.id = path.name.partition(".")[0]
        self.closed = closed

    @property
    def source(self) -> Source:
        """Return whose frames it holds."""
        return journal_source(self.id)

    def acked(self) -> Position:
        """Return how far the journal is known to be in Kafka."""
        try:
            value = json.loads(self.path.with_suffix(ACKED).read_text())
            return Position(int(value["lines"]), int(value["bytes"]))
        except FileNotFoundError:
            return START
        except (ValueError, KeyError, TypeError):
            log.warning(
                "%s was damaged; the journal is published again from its start.", self.path.with_suffix(ACKED)
            )
            return START

    def save_acked(self, position: Position) -> None:
        """Remember how far the journal is in Kafka."""
        draft = self.path.with_suffix(".acked.tmp")
        draft.write_text(json.dumps(position._asdict()))
        draft.replace(self.path.with_suffix(ACKED))


class JournalFolder:
    """All journals of one collector; no second collector can have the same folder.

    Raises JournalError when the folder is taken or cannot be written.
    """

    def __init__(self, path: Path, rotate_bytes: int, retention_days: float) -> None:
        self.path = path
        self.rotate_bytes = rotate_bytes
        self._retention_seconds = retention_days * DAY_SECONDS
        self._lock = _lock(path)
        self._guard = threading.Lock()
        self._archiver = ThreadPoolExecutor(1, "archiver")
        ids = _ids(path)
        self._newest_ms = max(map(journal_started_ms, ids), default=0)
        self._last_receipts = {journal_source(one): _modified(path, one) for one in ids}
        self._pending = {journal.id: journal for journal in _recover(path)}

    def create(self, source: Source) -> Journal:
        """Start a journal; its id sorts after that of every other, even when the clock was set back."""
        with self._guard:
            self._newest_ms = max(time.time_ns() // 1_000_000, self._newest_ms + 1)
            journal = Journal(self.path / f"{journal_id(self._newest_ms, source)}{PLAIN}", closed=False)
            journal.path.touch()
            self._pending[journal.id] = journal
        return journal

    def pending(self) -> list[Journal]:
        """Return the journals that are not both finished and published, oldest first."""
        with self._guard:
            return [self._pending[one] for one in sorted(self._pending)]

    def last_receipt(self, source: Source) -> float | None:
        """Return when the last frame of a source was received before this process started (seconds)."""
        return self._last_receipts.get(source)

    def archive(self, journal: Journal) -> None:
        """Pack a journal that is finished and published; the packing is done in the background."""
        with self._guard:
            del self._pending[journal.id]
        self._archiver.submit(_pack, journal)

    def expire(self, now: float) -> None:
        """Remove the packed journals that are older than the retention; the newest journal always stays."""
        newest = max(_ids(self.path), default="")
        for path in self.path.glob(f"*{PACKED}"):
            if path.stat().st_mtime < now - self._retention_seconds and not path.name.startswith(newest):
                path.unlink()
                log.info("removed the expired journal %s", path.name)

    def close(self) -> None:
        """Finish the packing and let the folder go."""
        self._archiver.shutdown()
        self._lock.close()


class JournalWriter:
    """Appends the frames of one source; starts a journal with the first frame and a new one when it is large.

    `opened` is called with each journal that is started, `appended` after each write.
    """

    def __init__(
        self,
        folder: JournalFolder,
        source: Source,
        appended: Callable[[], None],
        opened: Callable[[Journal], None] = lambda _: None,
    ) -> None:
        self.source = source
        self._folder = folder
        self._appended = appended
        self._opened = opened
        self._lines: list[bytes] = []
        self._journal: Journal | None = None
        self._file: IO[bytes] | None = None
        self._size = 0

    def append(self, frame: Frame) -> None:
        """Take a frame; it is written by the next `flush`."""
        self._lines.append(encode(frame))

    def flush(self) -> None:
        """Write what was taken; raise OSError, and keep it, when the disk does not take it."""
        if not self._lines:
            return
        if self._file is None:
            journal = self._folder.create(self.source)
            self._journal, self._file, self._size = journal, journal.path.open("ab", buffering=0), 0
            self._opened(journal)
        block = b"".join(self._lines)
        written = 0
        try:
            written = os.write(self._file.fileno(), block)
        finally:
            if written != len(block):
                self._file.truncate(self._size)
        if written != len(block):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._lines.clear()
        self._size += written
        self._appended()
        if self._size >= self._folder.rotate_bytes:
            self._finish()

    def close(self) -> None:
        """Write what was taken and finish the journal."""
        self.flush()
        self._finish()

    def _finish(self) -> None:
        if self._file is not None and self._journal is not None:
            self._file.close()
            self._journal.closed = True
            self._journal = self._file = None
            self._appended()


def read_lines(folder: Path, journal: str) -> Iterator[bytes]:
    """Yield the whole lines of a journal, packed or not."""
    try:
        file: IO[bytes] | gzip.GzipFile = (folder / f"{journal}{PLAIN}").open("rb")
    except FileNotFoundError:
        file = gzip.open(folder / f"{journal}{PACKED}", "rb")  # noqa: SIM115
    with file:
        for line in file:
            if line.endswith(b"\n"):
                yield line


def journal_ids(folder: Path) -> list[str]:
    """Return the ids of all journals of a folder, oldest first."""
    return sorted(_ids(folder))


def _ids(folder: Path) -> set[str]:
    names = (path.name.partition(".") for path in folder.glob("*.jsonl*"))
    return {
        name
        for name, _, rest in names
        if rest in ("jsonl", "jsonl.gz") and re.match(JOURNAL_ID_PATTERN, name)
    }


def _modified(folder: Path, journal: str) -> float:
    plain = folder / f"{journal}{PLAIN}"
    return (plain if plain.exists() else folder / f"{journal}{PACKED}").stat().st_mtime


def _lock(folder: Path) -> IO[bytes]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("wb")
    except OSError as error:
        raise JournalError(f"The journal folder {folder} could not be written: {error.strerror}.") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise JournalError(f"Another collector was already writing to {folder}; stop it first.") from None
    return file


def _recover(folder: Path) -> Iterator[Journal]:
    """Tidy up after a process that was killed: yield the journals that may not be in Kafka to their end."""
    for draft in folder.glob("*.tmp"):
        draft.unlink()
    for path in sorted(folder.glob(f"*{PLAIN}")):
        if not re.match(JOURNAL_ID_PATTERN, path.stem):
            continue
        if path.with_suffix(PACKED).exists():
            _remove(path)
            continue
        modified = path.stat().st_mtime
        torn = _cut_torn_line(path)
        if torn:
            log.warning("The last line of %s was torn; its %d bytes were cut off.", path.name, torn)
        if path.stat().st_size == 0:
            _remove(path)
            continue
        os.utime(path, (modified, modified))
        yield Journal(path, closed=True)
    for acked in folder.glob(f"*{ACKED}"):
        if not acked.with_suffix(PLAIN).exists():
            acked.unlink()


def _cut_torn_line(path: Path) -> int:
    """Cut off what follows the last line end; return how many bytes that was."""
    with path.open("rb+") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(end - BLOCK_BYTES, 0)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                end = start + at + 1
                break
            end = start
        file.truncate(end)
    return size - end


def _pack(journal: Journal) -> None:
    path = journal.path
    modified = path.stat().st_mtime
    draft = path.with_suffix(".jsonl.gz.tmp")
    try:
        with path.open("rb") as plain, gzip.open(draft, "wb", compresslevel=6) as packed:
            shutil.copyfileobj(plain, packed, BLOCK_BYTES)
        os.utime(draft, (modified, modified))
        draft.replace(path.with_suffix(PACKED))
    except OSError as error:
        # The plain journal stays, and the next start packs it.
        log.warning("The journal %s could not be packed: %s.", path.name, error.strerror or error)
        return
    _remove(path)


def _remove(path: Path) -> None:
    path.unlink()
    path.with_suffix(ACKED).unlink(missing_ok=True)
