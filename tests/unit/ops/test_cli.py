from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ops.cli import main, parser
from ops.inspection.doctor import days_left
from ops.inspection.logs import errors, last_error, tail
from ops.inspection.query import table
from ops.lifecycle.first_forecast import Span, is_caught_up
from stack import free_ports


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("MARKET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PRESTO_PORT", str(free_ports(1)[0]))
    return tmp_path / "home"


@pytest.mark.parametrize(
    "arguments",
    [["logs", "nonsense"], ["logs", "kafka"], ["reset"], ["query", "select 1"], ["test", "nonsense"]],
)
def test_what_cannot_be_done_is_told_in_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert said.err.strip().endswith(".")
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["up", "--feed", "x"], ["replay"], ["replay", "f", "--speed", "0"]]
)
def test_a_command_line_that_makes_no_sense_is_told_in_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_the_unexpected_is_one_sentence_and_its_traceback_a_file(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the roof fell in")

    monkeypatch.setattr("ops.inspection.logs.show", fail)
    assert main(["logs", "kafka"]) == 1
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1
    assert "the roof fell in" in said
    assert "Traceback" not in said
    assert "Traceback" in (home / "logs" / "market.log").read_text()


@pytest.mark.parametrize(("speed", "value"), [("max", None), ("1", 1.0), ("0.5", 0.5), ("1e3", 1000.0)])
def test_speed(speed: str, value: float | None) -> None:
    assert parser().parse_args(["replay", "file", "--speed", speed]).speed == value


def test_the_last_error_is_the_line_that_tells_and_not_its_stack() -> None:
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


def test_days_left_follow_from_the_growth_so_far() -> None:
    day = 86_400.0
    assert days_left(free_bytes=100, data_bytes=10, age_seconds=day) == pytest.approx(10)
    assert days_left(free_bytes=100, data_bytes=10, age_seconds=60) is None
    assert days_left(free_bytes=100, data_bytes=0, age_seconds=day) is None


def test_a_demo_has_caught_up_when_every_symbol_reaches_from_long_ago_to_now() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    long_ago = now - timedelta(hours=2)
    reaching = Span(long_ago, now)
    assert is_caught_up([reaching, Span(long_ago, now - timedelta(seconds=20))], now)
    assert not is_caught_up([], now)
    assert not is_caught_up([reaching, Span(long_ago, now - timedelta(minutes=2))], now)
    assert not is_caught_up([reaching, Span(now - timedelta(minutes=5), now)], now)


def test_a_table_is_aligned_and_empty_without_rows() -> None:
    assert table([]) == "(no rows)"
    assert table([{"a": 1, "long": None}, {"a": 22, "long": "x"}]) == "a   long\n--  ----\n1\n22  x"
