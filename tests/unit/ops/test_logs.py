from pathlib import Path

from ops.inspection.logs import errors, last_error, tail


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
