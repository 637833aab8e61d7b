"""Which journals have to go; pure."""

from typing import NamedTuple, Protocol

# Between two journals no more than this counts, so that a clock that is set far ahead removes nothing.
LONGEST_PAUSE_SECONDS = 2 * 86_400.0


class StoredJournal(NamedTuple):
    """A journal on the disk; `written` is in s since the epoch, unpublished ones are not removable."""

    id: str
    bytes: int
    written: float
    removable: bool


class Limits(Protocol):
    """How long and how much is kept."""

    @property
    def retention_seconds(self) -> float: ...

    @property
    def retention_bytes(self) -> int: ...


def expired_journals(journals: list[StoredJournal], now: float, limits: Limits) -> list[StoredJournal]:
    """Return the journals to be removed, of all of them, oldest first; the newest always stays.

    The age of a journal is the time since it was written, in which each pause between two journals counts for
    LONGEST_PAUSE_SECONDS at most.
    """
    age = 0.0
    later = now
    expired = []
    kept_bytes = sum(journal.bytes for journal in journals)
    too_old = set()
    for journal in reversed(journals):
        age += min(max(later - journal.written, 0.0), LONGEST_PAUSE_SECONDS)
        later = journal.written
        if age > limits.retention_seconds:
            too_old.add(journal.id)
    for journal in journals[:-1]:
        if journal.removable and (journal.id in too_old or kept_bytes > limits.retention_bytes):
            expired.append(journal)
            kept_bytes -= journal.bytes
    return expired
