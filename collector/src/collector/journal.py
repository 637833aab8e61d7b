"""The journal: every received frame, written down before it is published.

A journal is a recording under an id of its own. `<id>.jsonl` is being written, or not all of it is known to
be in Kafka; beside it `<id>.acked` says how much is. `<id>.jsonl.gz` is finished and in Kafka to its end.
`events.jsonl` holds the feed events.
"""

import errno
import fcntl
import gzip
import logging
import os
import re
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple, Self

from collector.encoding import Event
from collector.event_log import EventLog
from collector.line_file import ACKED, BLOCK_BYTES, LineFile
from collector.retention import StoredJournal, expired_journals
from collector.settings import CollectorSettings
from common.identity import JOURNAL_ID_PATTERN, Source, journal_id, journal_source, journal_started_ms
from common.recording import PACKED, PLAIN, Frame, encode

log = logging.getLogger(__name__)

COMPRESSION_LEVEL = 6
NEARLY_FULL = 0.8


class JournalError(Exception):
    """Say in one sentence why the journal cannot be used."""


class JournalLimits(NamedTuple):
    """When a journal is finished, how long journals are kept, and whether each write waits for the disk."""

    rotate_bytes: int
    rotate_seconds: float
    retention_seconds: float
    retention_bytes: int
    fsync: bool = False

    @classmethod
    def from_settings(cls, settings: CollectorSettings) -> Self:
        """Return the limits that the settings name."""
        return cls(
            rotate_bytes=settings.journal_rotate_megabytes * 1024**2,
            rotate_seconds=settings.journal_rotate_minutes * 60.0,
            retention_seconds=settings.journal_retention_days * 86_400.0,
            retention_bytes=int(settings.journal_retention_gigabytes * 1024**3),
            fsync=settings.journal_fsync,
        )


class Journal(LineFile):
    """One journal that is still being written or published."""

    def __init__(self, path: Path, closed: bool) -> None:
        super().__init__(path)
        self.id = path.name.partition(".")[0]
        self.closed = closed

    @property
    def source(self) -> Source:
        """Return whose frames it holds."""
        return journal_source(self.id)


class JournalFolder:
    """All journals of one collector; no second collector can have the same folder.

    Raises JournalError when the folder is taken or cannot be written.
    """

    def __init__(self, path: Path, limits: JournalLimits) -> None:
        self.path = path
        self.limits = limits
        self._lock = _lock(path)
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._compressor = ThreadPoolExecutor(1, "compressor")
        self._uncompressed: list[Journal] = []
        self._newest_ms = max(map(journal_started_ms, _ids(path)), default=0)
        self._pending: dict[Source, list[Journal]] = defaultdict(list)
        for journal in _recover(path):
            self._pending[journal.source].append(journal)
        self.events = EventLog(path)
        self._nearly_full_logged = self._full_published = self._compression_failed = False

    def create(self, source: Source) -> tuple[Journal, IO[bytes]]:
        """Start a journal; its id sorts after that of every other, even when the clock was set back.

        Returns it with its file, open for appending. Raises OSError.
        """
        with self._guard:
            self._newest_ms = max(time.time_ns() // 1_000_000, self._newest_ms + 1)
            journal = Journal(self.path / f"{journal_id(self._newest_ms, source)}{PLAIN}", closed=False)
            file = journal.path.open("ab", buffering=0)
            if self.limits.fsync:
                _sync_folder(self.path)
            self._pending[source].append(journal)
        return journal, file

    def pending(self) -> dict[Source, list[Journal]]:
        """Return, by source, the journals that are not both finished and published, oldest first."""
        with self._guard:
            return {source: list(journals) for source, journals in self._pending.items()}

    def archive(self, journal: Journal) -> None:
        """Compress a journal that is finished and published, in the background."""
        self.forget(journal)
        self._compressor.submit(self._compress, journal)

    def forget(self, journal: Journal) -> None:
        """Take a journal for published."""
        with self._guard:
            self._pending[journal.source].remove(journal)

    def expire(self) -> str | None:
        """Remove what is too old or too much, and compress what could not be compressed before.

        Returns a sentence when unpublished journals, which are never removed, take more than they may.
        """
        with self._guard:
            again, self._uncompressed = self._uncompressed, []
        for journal in again:
            self._compressor.submit(self._compress, journal)
        try:
            stored = sorted(_stored(self.path))
            for expired in expired_journals(stored, time.time(), self.limits):
                (self.path / f"{expired.id}{PACKED}").unlink(missing_ok=True)
                log.info("Removed the expired journal %s.", expired.id)
        except OSError as error:
            return f"Expired journals could not be removed: {error.strerror}."
        return self._full_sentence(sum(one.bytes for one in stored if not one.removable))

    def close(self) -> None:
        """End a compression that runs, which the next start repeats, and let the folder go."""
        self._stopping.set()
        self._compressor.shutdown(cancel_futures=True)
        self.events.write_again()
        self._lock.close()

    def _full_sentence(self, unpublished: int) -> str | None:
        allowed = self.limits.retention_bytes
        full = unpublished > allowed
        sentence = (
            f"The journals that are not in Kafka yet take {unpublished / 1024**3:.2f} GiB of the "
            f"{allowed / 1024**3:.2f} GiB of JOURNAL_RETENTION_GIGABYTES and are never removed: "
            "see that Kafka runs, or make more room."
        )
        nearly_full = unpublished > NEARLY_FULL * allowed
        if nearly_full and not self._nearly_full_logged:
            log.warning("%s", sentence)
        if full and not self._full_published:
            self.events.append(Event(time.time_ns() // 1_000_000, "journal", "refused", sentence, None))
        self._nearly_full_logged, self._full_published = nearly_full, full
        return sentence if full else None

    def _compress(self, journal: Journal) -> None:
        try:
            compress(journal, self._stopping)
        except OSError as error:
            if not self._compression_failed:
                log.warning(
                    "The journal %s could not be compressed: %s.", journal.id, error.strerror or error
                )
            self._compression_failed = True
            with self._guard:
                self._uncompressed.append(journal)
        else:
            self._compression_failed = False


class JournalWriter:
    """Appends the frames of one source; starts a journal with the first frame and a new one in time.

    `on_open` is called with each journal that is started, `on_append` after each write.
    """

    def __init__(
        self,
        folder: JournalFolder,
        source: Source,
        on_append: Callable[[], None],
        on_open: Callable[[Journal], None] = lambda _: None,
    ) -> None:
        self.source = source
        self._folder = folder
        self._on_append = on_append
        self._on_open = on_open
        self._lines: list[bytes] = []
        self._journal: Journal | None = None
        self._file: IO[bytes] | None = None
        self._size = 0
        self._opened = 0.0

    def append(self, frame: Frame) -> None:
        """Take a frame; it is written by the next `flush`."""
        self._lines.append(encode(frame))

    def flush(self) -> None:
        """Write what was taken; raise OSError, and keep it, when the disk does not take it.

        Finishes a journal that is large or old enough, also when there is nothing to write.
        """
        if self._lines:
            self._write()
        limits = self._folder.limits
        if self._file is not None and (
            self._size >= limits.rotate_bytes or time.monotonic() - self._opened >= limits.rotate_seconds
        ):
            self._finish()

    def close(self) -> None:
        """Write what was taken and finish the journal."""
        try:
            self.flush()
        finally:
            self._finish()

    def _write(self) -> None:
        if self._file is None:
            self._journal, self._file = self._folder.create(self.source)
            self._size = 0
            self._opened = time.monotonic()
            self._on_open(self._journal)
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
        if self._folder.limits.fsync:
            os.fdatasync(self._file.fileno())
        self._on_append()

    def _finish(self) -> None:
        if self._file is not None and self._journal is not None:
            self._file.close()
            self._journal.closed = True
            self._journal = self._file = None
            self._on_append()


def compress(journal: Journal, stopping: threading.Event) -> None:
    """Replace a journal by its compressed form; stop in between, and leave it as it is, when told to.

    Raises OSError, and leaves the journal as it is, when the disk does not take it.
    """
    path = journal.path
    modified = path.stat().st_mtime
    temporary = path.with_suffix(".jsonl.gz.tmp")
    try:
        with path.open("rb") as plain, temporary.open("wb") as file:
            with gzip.GzipFile("", "wb", COMPRESSION_LEVEL, file, modified) as packed:
                while block := plain.read(BLOCK_BYTES):
                    if stopping.is_set():
                        raise InterruptedError
                    packed.write(block)
            file.flush()
            os.fsync(file.fileno())  # the plain journal goes next, and a power cut may follow
    except InterruptedError:
        temporary.unlink()
        return
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    os.utime(temporary, (modified, modified))
    temporary.replace(path.with_suffix(PACKED))
    journal.remove()


def read_lines(folder: Path, journal: str) -> Iterator[bytes]:
    """Yield the whole lines of a journal, compressed or not; stop at the first line without its end.

    Raises JournalError, after the lines that can be read, when a compressed journal is damaged.
    """
    try:
        file: IO[bytes] | gzip.GzipFile = (folder / f"{journal}{PLAIN}").open("rb")
    except FileNotFoundError:
        file = gzip.open(folder / f"{journal}{PACKED}", "rb")  # noqa: SIM115
    number = 0
    with file:
        try:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                number += 1
                yield line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise JournalError(f"The journal {journal} is damaged after line {number}: {error}.") from None


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


def _stored(folder: Path) -> Iterator[StoredJournal]:
    """Yield what the folder holds; a compressed journal is published and can be removed."""
    for name in _ids(folder):
        for suffix in (PACKED, PLAIN):
            try:
                found = (folder / f"{name}{suffix}").stat()
            except FileNotFoundError:
                continue
            yield StoredJournal(name, found.st_size, found.st_mtime, removable=suffix == PACKED)
            break


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
    for temporary in folder.glob("*.tmp"):
        temporary.unlink()
    for path in sorted(folder.glob(f"*{PLAIN}")):
        if not re.match(JOURNAL_ID_PATTERN, path.stem):
            continue
        journal = Journal(path, closed=True)
        if path.with_suffix(PACKED).exists():
            journal.remove()
            continue
        modified = path.stat().st_mtime
        torn = journal.cut_torn_line()
        if torn:
            log.warning("The last line of %s was torn; its %d bytes were cut off.", path.name, torn)
        if journal.size() == 0:
            journal.remove()
            continue
        os.utime(path, (modified, modified))
        yield journal
    for acked in folder.glob(f"*{ACKED}"):
        if not acked.with_suffix(PLAIN).exists():
            acked.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
