import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.errors import MarketError
from ops.lifecycle.preflight import (
    check_feed,
    check_home,
    check_ports,
    choose_ports,
    existing_parent,
    folder_bytes,
    is_free,
    port_conflict,
)
from ops.ports import load_ports


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_is_named_with_its_variable_and_its_holder(taken: int) -> None:
    assert not is_free(taken)
    with pytest.raises(MarketError) as raised:
        check_ports({"KAFKA_PORT": taken})
    assert f"Port {taken} (KAFKA_PORT) was taken" in str(raised.value)
    assert "pid" in str(raised.value)


def test_a_free_port_is_free(taken: int) -> None:
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        port = once.getsockname()[1]
    check_ports({"KAFKA_PORT": port})


def test_one_port_for_two_services_is_named() -> None:
    assert port_conflict({"KAFKA_PORT": 1, "PRESTO_PORT": 2}) is None
    sentence = port_conflict({"KAFKA_PORT": 1, "PRESTO_PORT": 2, "FEED_PORT": 1})
    assert sentence is not None
    assert "KAFKA_PORT and FEED_PORT" in sentence


def test_an_internal_port_moves_when_taken_and_stays_when_asked_for(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in load_ports().by_variable():
        monkeypatch.delenv(name, raising=False)
    usual = load_ports()
    settings = type(usual).model_construct(**{**usual.model_dump(), "feed_port": taken}, _fields_set=set())
    moved = choose_ports(settings)
    assert is_free(moved["FEED_PORT"])
    monkeypatch.setenv("FEED_PORT", str(taken))
    assert "FEED_PORT" not in choose_ports(load_ports())


def test_the_ports_are_those_of_every_component_and_only_internal_ones_move(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in load_ports().by_variable():
        monkeypatch.delenv(name, raising=False)
    ports = load_ports()
    assert {
        "KAFKA_PORT": 9092,
        "CASSANDRA_PORT": 9042,
        "PRESTO_PORT": 8080,
        "SUPERSET_PORT": 8088,
        "STREAMLIT_PORT": 8501,
        "SPARK_UI_PORT": 4040,
    }.items() <= ports.by_variable().items()
    assert {"KAFKA_CONTROLLER_PORT", "CASSANDRA_STORAGE_PORT", "FEED_PORT"} <= ports.movable().keys()
    assert "KAFKA_PORT" not in ports.movable()


@pytest.mark.parametrize(
    ("feed", "used", "keep", "token", "word"),
    [
        ("live", ["demo"], False, True, "--keep"),
        ("live", ["demo", "none"], False, True, "reset"),
        ("live", [], False, False, "FINNHUB_API_TOKEN"),
    ],
)
def test_a_feed_that_does_not_fit_is_refused(
    feed: str, used: list[str], keep: bool, token: bool, word: str
) -> None:
    with pytest.raises(MarketError, match=word):
        check_feed(feed, used, keep, token)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("feed", "used", "keep"),
    [
        ("demo", ["demo"], False),
        ("none", ["demo"], False),
        ("live", [], False),
        ("live", ["none"], False),
        ("live", ["demo"], True),
        ("live", ["demo", "live"], False),
    ],
)
def test_a_feed_that_fits_is_let_in(feed: str, used: list[str], keep: bool) -> None:
    check_feed(feed, used, keep, token=True)  # type: ignore[arg-type]


def test_the_home_may_be_made_but_not_inside_a_file(tmp_path: Path) -> None:
    check_home(tmp_path / "a" / "b")
    assert existing_parent(tmp_path / "a" / "b") == tmp_path
    (tmp_path / "file").touch()
    with pytest.raises(MarketError, match="MARKET_HOME"):
        check_home(tmp_path / "file" / "home")


def test_a_full_disk_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.lifecycle.preflight.HOME_BYTES", 1 << 60)
    with pytest.raises(MarketError, match=r"GB of free disk space.*MARKET_HOME"):
        check_home(tmp_path)


@pytest.mark.parametrize("name", ["Börse", "50%", "a#b", "a ;b", "a,b", "a:b", "a$b", "a'b", "a\nb", "b "])
def test_a_home_that_a_server_would_read_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(MarketError, match=r"not every server can use: name another folder in MARKET_HOME"):
        check_home(tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["my market", "market_2.1-x+y@z=~"])
def test_a_usual_home_is_taken(tmp_path: Path, name: str) -> None:
    check_home(tmp_path / name)


def test_a_folder_takes_what_its_files_take(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x" * 1000)
    (tmp_path / "file").write_bytes(b"x" * 24)
    (tmp_path / "broken").symlink_to(tmp_path / "absent")
    assert folder_bytes(tmp_path) == 1024
