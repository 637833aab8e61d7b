import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest

from ops.errors import MarketError
from ops.inspection import logs
from ops.inspection.logs import errors, last_error, log_file, show, tail


def test_the_last_error_is_the_message_and_not_its_stack() -> None:
    lines = [
        "INFO starting",
        "Exception in thread main java.net.BindException: in use",
        "\tat sun.nio.ch.Net.bind(Net.java:1)",
        "INFO shutting down",
    ]
    assert last_error(lines) == lines[1]
    assert last_error(["one", "two", ""]) == "two"
    assert (
        last_error(["Traceback (most recent call last):", '  File "x", line 1', "ValueError: no"])
        == "ValueError: no"
    )
    assert last_error([]) is None
    assert errors(lines) == [lines[1]]


def test_tail_ends_at_the_end_and_begins_after_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert tail(path, 5) == []
    path.write_text("a\nb\nc\n")
    assert tail(path, 2) == ["b", "c"]
    assert tail(path, 5, since=4) == ["c"]
    assert tail(path, 5, since=100) == ["a", "b", "c"]


def test_tail_reads_only_the_end_of_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "TAIL_BYTES", 10)
    path = tmp_path / "log"
    path.write_text("x" * 1000 + "\nlast\n")
    assert tail(path, 5) == ["xxxx", "last"]


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[tuple[Path, Queue[str]]]:
    """Follow a log through a pipe; give its path and the lines that come, each when it comes."""
    path = log_file(tmp_path, "kafka")
    path.parent.mkdir()
    path.write_text("first\nsecond\nthird")
    program = "import pathlib, sys; from ops.inspection.logs import show; "
    program += "show(pathlib.Path(sys.argv[1]), 'kafka', ('kafka',), following=True, lines=2)"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        stdout=subprocess.PIPE,
        text=True,
    )
    lines: Queue[str] = Queue()
    assert process.stdout is not None
    reader = threading.Thread(
        target=lambda output: [lines.put(line) for line in output], args=[process.stdout]
    )
    reader.start()
    yield path, lines
    process.kill()
    process.wait(60)
    reader.join(60)


def test_the_last_lines_of_a_followed_log_come_at_once(followed: tuple[Path, Queue[str]]) -> None:
    _, lines = followed
    assert lines.get(timeout=60) == "second\n"


def test_a_log_is_followed_through_its_rotations(followed: tuple[Path, Queue[str]]) -> None:
    path, lines = followed
    assert lines.get(timeout=60) == "second\n"
    with path.open("a") as file:
        file.write(" and more\nlast of this file\n")
        file.flush()
        path.rename(path.with_suffix(".1"))
        path.write_text("first of the next\n")
    expected = ["third and more\n", "last of this file\n", "first of the next\n"]
    assert [lines.get(timeout=60) for _ in expected] == expected


def test_a_log_is_shown_by_its_last_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = log_file(tmp_path, "kafka")
    path.parent.mkdir()
    path.write_text("".join(f"{number}\n" for number in range(10)))
    show(tmp_path, "kafka", ("kafka", "feed"), following=False, lines=3)
    assert capsys.readouterr().out == "7\n8\n9\n"
    with pytest.raises(MarketError, match=r"no service 'kafca'; there are kafka, feed\."):
        show(tmp_path, "kafca", ("kafka", "feed"), following=False)
    with pytest.raises(MarketError, match=r"feed had no log yet in .*/logs; start the stack"):
        show(tmp_path, "feed", ("kafka", "feed"), following=False)
