from pathlib import Path

import pytest

from ops.errors import MarketError
from ops.settings import OpsSettings, adopt_env_file, cache_folder, read_env_file


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FINNHUB_API_TOKEN", "MARKET_FEED", "KAFKA_PORT", "KAFKA_SERVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MARKET_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("# only a comment\n\n", {}),
        ("A=1\nexport B='two words'\n", {"A": "1", "B": "two words"}),
        ('A="x # y" # z\n', {"A": "x # y"}),
        ("A=\n", {"A": ""}),
    ],
)
def test_env_file_is_read_as_a_shell_would(env_file: Path, text: str, values: dict[str, str]) -> None:
    env_file.write_text(text)
    assert read_env_file(env_file) == values


@pytest.mark.parametrize(
    ("text", "line"),
    [("A=1\nhunter2 alone\n", 2), ("A=1\n\n\nB\n", 4), ("A='open\n", 1), ("# a\nA=1\n=2\n", 3)],
)
def test_a_broken_line_is_named_by_its_number_and_not_shown(env_file: Path, text: str, line: int) -> None:
    env_file.write_text(text)
    with pytest.raises(MarketError) as raised:
        read_env_file(env_file)
    assert f"Line {line} of {env_file}" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_an_env_file_that_is_not_text_is_named(env_file: Path) -> None:
    env_file.write_bytes(b"A=\xff\xfe\n")
    with pytest.raises(MarketError, match=str(env_file)):
        read_env_file(env_file)


@pytest.mark.usefixtures("bare")
def test_the_environment_wins_over_the_file_and_the_token_stays_in_it(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setenv("KAFKA_SERVER", "from-environment")
    monkeypatch.setenv("KAFKA_PORT", "")
    env_file.write_text("KAFKA_SERVER=from-file\nKAFKA_PORT=1234\nFINNHUB_API_TOKEN=abc\n")
    adopt_env_file(env_file)
    assert os.environ["KAFKA_SERVER"] == "from-environment"
    assert os.environ["KAFKA_PORT"] == "1234"
    assert "FINNHUB_API_TOKEN" not in os.environ


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("environ", "feed"),
    [
        ({}, "demo"),
        ({"FINNHUB_API_TOKEN": "abc"}, "live"),
        ({"FINNHUB_API_TOKEN": "abc", "MARKET_FEED": "none"}, "none"),
    ],
)
def test_the_feed_is_live_with_a_token_unless_told_otherwise(
    environ: dict[str, str], feed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert OpsSettings().feed == feed


def test_the_cache_moves_by_its_own_variable_or_the_systems(tmp_path: Path) -> None:
    assert cache_folder({"MARKET_CACHE": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a")
    assert cache_folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/trading-data-dashboard")
    assert cache_folder({}) == Path("~/.cache/trading-data-dashboard").expanduser()
