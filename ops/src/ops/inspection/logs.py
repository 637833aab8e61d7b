"""The services' logs: their last lines, their errors, and following them."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ops.errors import MarketError

TAIL_BYTES = 256 * 1024
POLL_SECONDS = 0.3
ERROR = re.compile(r"\b(ERROR|FATAL|CRITICAL|SEVERE|Exception|Error)\b")
STACK_FRAME = re.compile(r"^\s+(at |File |\.\.\. \d+ more)|^Traceback ")


def log_file(home: Path, service: str) -> Path:
    """Return where a service's output goes."""
    return home / "logs" / f"{service}.log"


def tail(path: Path, lines: int, since: int = 0) -> list[str]:
    """Return the last lines of a file, at most those after the byte `since`; none where it is missing."""
    try:
        with path.open(errors="replace") as file:
            return read_tail(file, lines, since).splitlines()
    except FileNotFoundError:
        return []


def read_tail(file: TextIO, lines: int, since: int = 0) -> str:
    """Return the last lines of an open file as one text, and leave the file at its end."""
    size = file.seek(0, 2)
    file.seek(max(since if since <= size else 0, size - TAIL_BYTES))
    return "".join(file.read().splitlines(keepends=True)[-lines:])


def last_error(lines: list[str]) -> str | None:
    """Return the last line about an error, else the last line with text."""
    messages = [line.strip() for line in lines if line.strip() and not STACK_FRAME.match(line)]
    return next(
        (line for line in reversed(messages) if ERROR.search(line)), messages[-1] if messages else None
    )


def errors(lines: list[str]) -> list[str]:
    """Return the lines about an error."""
    return [line.strip() for line in lines if ERROR.search(line) and not STACK_FRAME.match(line)]


def follow(path: Path, lines: int) -> Iterator[str]:
    """Yield the last lines of a file, then what is written to it, through its rotations."""
    file = path.open(errors="replace")
    yield read_tail(file, lines)
    while True:
        text = file.read()
        if text:
            yield text
            continue
        time.sleep(POLL_SECONDS)
        try:
            moved = path.stat().st_ino != os.fstat(file.fileno()).st_ino
        except OSError:
            continue
        if moved:
            yield file.read()
            file.close()
            file = path.open(errors="replace")


def show(home: Path, service: str, known: tuple[str, ...], following: bool, lines: int = 200) -> None:
    """Print a log's last lines, and go on with what comes when `following`."""
    if service not in known:
        raise MarketError(f"There was no service {service!r}; there are {', '.join(known)}.")
    path = log_file(home, service)
    if not path.exists():
        raise MarketError(f"{service} had no log yet in {path.parent}; start the stack with ./market up.")
    if following:
        for text in follow(path, lines):
            print(text, end="", flush=True)
    else:
        for line in tail(path, lines):
            print(line)
