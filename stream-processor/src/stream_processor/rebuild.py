"""Bars and running averages again from the stored trades, by the code that made them."""

import time
from collections.abc import Callable

from stream_processor.bar_writer import BarWriter
from stream_processor.store import Store
from stream_processor.windows import Selection

# New bars wait while a part is rebuilt.
PART_SECONDS = 10.0


def rebuild(
    writer: BarWriter, store: Store, selection: Selection, report: Callable[[str], None]
) -> tuple[int, int]:
    """Write the bars of the selected windows again; return how many, and how many stayed as they are."""
    wanted = store.ranges(selection)
    hours, done, size = len(wanted), 0, 1
    written = kept = 0
    while done < hours:
        started = time.monotonic()
        part = wanted[done : done + size]
        counts = writer.rebuild(part)
        written, kept, done = written + counts[0], kept + counts[1], done + len(part)
        report(f"{done:,} of {hours:,} hours of symbols: {written:,} bars, up to {part[-1].symbol}")
        size = size * 2 if time.monotonic() - started < PART_SECONDS / 2 else max(size // 2, 1)
    return written, kept
