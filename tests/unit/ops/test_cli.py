from pathlib import Path

import pytest

from ops.cli import main, parser
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
