import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.errors import MarketError
from ops.inspection import logs
from ops.inspection.logs import errors, follow, last_error, log_file, show, tail
from stack import wait_until


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
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, list[str]]]:
    """Follow a log in a thread; give its path and what has come so far."""
    monkeypatch.setattr(logs, "POLL_SECONDS", 0.02)
    path = tmp_path / "log"
    path.write_text("before\n")
    pieces = follow(path)
    received: list[str] = []
    stop = threading.Event()

    def run() -> None:
        for piece in pieces:
            received.append(piece)
            if stop.is_set():
                return

    thread = threading.Thread(target=run)
    thread.start()
    # The first line may come before the file is open, so it is written until one arrives.
    for number in itertools.count():
        with path.open("a") as file:
            file.write(f"start {number}\n")
        if wait_for(lambda: bool(received)):
            break
    received.clear()
    yield path, received
    stop.set()
    with path.open("a") as file:
        file.write("end\n")
    thread.join(60)
    assert not thread.is_alive()


def wait_for(condition: object) -> bool:
    try:
        wait_until(condition, "", 0.3)  # type: ignore[arg-type]
    except AssertionError:
        return False
    return True


def test_a_log_is_followed_through_its_rotations(followed: tuple[Path, list[str]]) -> None:
    path, received = followed
    with path.open("a") as file:
        file.write("one\ntwo")
    wait_until(lambda: "two" in "".join(received), "what was written", 60, every=0.02)
    assert "before" not in "".join(received)
    with path.open("a") as file:
        file.write(" and more\nlast of this file\n")
        path.rename(path.with_suffix(".1"))
        path.write_text("first of the next\n")
    wait_until(lambda: "first of the next" in "".join(received), "the next file", 60, every=0.02)
    text = "".join(received)
    assert text.index("one\ntwo and more\nlast of this file\nfirst of the next\n") >= 0


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
