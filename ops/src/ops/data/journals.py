"""The journal's last days as a part of a backup."""

import gzip
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from common.identity import JOURNAL_ID_PATTERN
from common.recording import PACKED, PLAIN


def copy_journals(journal: Path, since: float, folder: Path) -> Iterator[Path]:
    """Yield compressed copies, which stay as they are, of the journals written after a time (s).

    A copy of one that is still written ends with its last whole line; one that expires meanwhile is left out.
    """
    for name in sorted({path.name.partition(".")[0] for path in journal.glob(f"*{PLAIN}*")}):
        if not re.fullmatch(JOURNAL_ID_PATTERN, name):
            continue
        for suffix in (PACKED, PLAIN, PACKED):  # it may be compressed while this looks
            path, copy = journal / f"{name}{suffix}", folder / f"{name}{PACKED}"
            with suppress(FileNotFoundError):
                modified = path.stat().st_mtime
                if modified >= since:
                    _copy(path, copy)
                    os.utime(copy, (modified, modified))
                    yield copy
                break


def _copy(path: Path, copy: Path) -> None:
    if path.name.endswith(PACKED):
        shutil.copyfile(path, copy)
        return
    with path.open("rb") as plain, gzip.open(copy, "wb") as packed:
        packed.writelines(line for line in plain if line.endswith(b"\n"))


def restore_journals(copies: Iterable[Path], journal: Path) -> int:
    """Put back the journals that are not there; return how many.

    They count as published, as all that are compressed do.
    """
    journal.mkdir(parents=True, exist_ok=True)
    restored = 0
    for copy in copies:
        packed = journal / copy.name
        if packed.exists() or packed.with_suffix("").exists():
            continue
        temporary = packed.with_suffix(".gz.tmp")
        shutil.copy2(copy, temporary)
        temporary.replace(packed)
        restored += 1
    return restored
