"""A file of lines that one writer appends to and one publisher reads, and how far it is published."""

import json
import logging
import os
from pathlib import Path
from typing import NamedTuple

from common.files import replace_text

log = logging.getLogger(__name__)

ACKED = ".acked"
BLOCK_BYTES = 1024**2


class Position(NamedTuple):
    """A place in a file: so many whole lines, so many bytes."""

    lines: int
    bytes: int


START = Position(0, 0)


class LineFile:
    """A file of lines; beside it `<name>.acked` says how much of it is known to be in Kafka."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def acked(self) -> Position:
        """Return how far the file is known to be in Kafka."""
        path = self.path.with_suffix(ACKED)
        try:
            value = json.loads(path.read_bytes())
            position = Position(int(value["lines"]), int(value["bytes"]))
        except FileNotFoundError:
            return START
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            position = Position(-1, -1)
        if min(position) < 0:
            log.warning("%s was damaged; %s is published again from its start.", path, self.path.name)
            return START
        return position

    def save_acked(self, position: Position) -> None:
        """Remember how far the file is in Kafka; raise OSError when the disk does not take it."""
        replace_text(self.path.with_suffix(ACKED), json.dumps(position._asdict()))

    def size(self) -> int:
        """Return the number of bytes; raise OSError."""
        return self.path.stat().st_size

    def lines_from(self, start: int, max_bytes: int) -> list[bytes]:
        """Return the whole lines from a byte on, with their ends: about `max_bytes` of them, one at least.

        A line whose end is not written yet is left for later. Raises OSError. The file is open only in here:
        however many files wait, they cost no descriptors.
        """
        with self.path.open("rb", buffering=0) as file:
            file.seek(start)
            block = b""
            while True:
                more = file.read(max(max_bytes, len(block)))
                if not more:
                    return []
                block += more
                end = block.rfind(b"\n")
                if end >= 0:
                    return [line + b"\n" for line in block[:end].split(b"\n")]

    def cut_torn_line(self) -> int:
        """Cut off what follows the last line end; return how many bytes that was."""
        with self.path.open("rb+") as file:
            size = end = file.seek(0, os.SEEK_END)
            while end > 0:
                start = max(end - BLOCK_BYTES, 0)
                file.seek(start)
                at = file.read(end - start).rfind(b"\n")
                if at >= 0:
                    end = start + at + 1
                    break
                end = start
            if end < size:
                file.truncate(end)
        return size - end

    def remove(self) -> None:
        """Remove the file and its mark."""
        self.path.unlink()
        self.path.with_suffix(ACKED).unlink(missing_ok=True)
