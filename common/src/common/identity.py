"""The names of journals and trades.

A journal id is 19 characters: the UTC time of its start as `YYYYMMDDTHHMMSSmmm` and the letter of its
source. A trade id is `<journal id>:<line, 10 digits>:<index, 5 digits>`: text that sorts in arrival order.
"""

from datetime import UTC, datetime, timedelta
from typing import Literal

Source = Literal["live", "demo", "replay"]

JOURNAL_ID_PATTERN = r"^\d{8}T\d{9}[ldr]$"
LINE_DIGITS = 10
INDEX_DIGITS = 5
MAX_TRADES_PER_MESSAGE = 10**INDEX_DIGITS
MAX_SYMBOL_LENGTH = 64
_EPOCH = datetime.fromtimestamp(0, UTC)
_LETTERS: dict[Source, str] = {"live": "l", "demo": "d", "replay": "r"}
_SOURCES: dict[str, Source] = {letter: source for source, letter in _LETTERS.items()}


def journal_id(started_ms: int, source: Source) -> str:
    """Name a journal that starts at `started_ms` (ms since the epoch) and holds frames of `source`."""
    moment = datetime.fromtimestamp(started_ms // 1000, UTC)
    return f"{moment:%Y%m%dT%H%M%S}{started_ms % 1000:03d}{_LETTERS[source]}"


def journal_source(journal: str) -> Source:
    """Return the source whose frames a journal holds."""
    return _SOURCES[journal[-1]]


def journal_started_ms(journal: str) -> int:
    """Return when a journal started (ms since the epoch)."""
    moment = datetime.strptime(journal[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1) + int(journal[15:18])


def trade_id(journal: str, line: int, index: int) -> str:
    """Name the trade at `index` of its message, of line `line` (from 1) of a journal."""
    return f"{journal}:{line:0{LINE_DIGITS}d}:{index:0{INDEX_DIGITS}d}"


def trade_id_range(journal: str) -> tuple[str, str]:
    """Return the lowest and the highest id that a trade of a journal can have."""
    return trade_id(journal, 0, 0), trade_id(journal, 10**LINE_DIGITS - 1, MAX_TRADES_PER_MESSAGE - 1)
