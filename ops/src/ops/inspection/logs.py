"""The services' logs: their last lines, their errors, and following them."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

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
        with path.open("rb") as file:
            size = file.seek(0, 2)
            start = max(since if since <= size else 0, size - TAIL_BYTES)
            file.seek(start)
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-lines:]


def last_error(lines: list[str]) -> str | None:
    """Return the last line about an error, else the last line with text."""
    messages = [line.strip() for line in lines if line.strip() and not STACK_FRAME.match(line)]
    return next(
        (line for line in reversed(messages) if ERROR.search(line)), messages[-1] if messages else None
    )


def errors(lines: list[str]) -> list[str]:
    """Return the lines about an error."""
    return [line.strip() for line in lines if ERROR.search(line) and not STACK_FRAME.match(line)]


def follow(path: Path) -> Iterator[str]:
    """Yield what is written to a file from now on, through its rotations."""
    file = path.open(errors="replace")
    file.seek(0, 2)
    while True:
        text = file.read()
        if text:
            yield text
            continue
        time.sleep(POLL_SECONDS)
        try:
            moved = path.stat().st_ino != Path(f"/dev/fd/{file.fileno()}").stat().st_ino
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
    for line in tail(path, lines):
        print(line)
    if following:
        for text in follow(path):
            print(text, end="", flush=True)
