"""What keeps two commands apart, what a run keeps, and what a reset removes; no service starts here."""

import fcntl
import os
import threading
from pathlib import Path

import psutil
import pytest

from ops.errors import MarketError
from ops.lifecycle import stack
from ops.lifecycle.stack import (
    FOLDERS,
    add_used_feed,
    exclusive_lock,
    read_state,
    remove_run_files,
    reset,
    used_feeds,
    wait_until_ended,
    write_state,
)
from ops.lifecycle.supervision import socket_file
from ops.settings import OpsSettings
from stack import wait_until


@pytest.fixture
def settings(tmp_path: Path) -> OpsSettings:
    for folder in FOLDERS:
        (tmp_path / "home" / folder).mkdir(parents=True)
    return OpsSettings(market_home=tmp_path / "home")


def test_a_zombie_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    wait_until(lambda: psutil.Process(child).status() == psutil.STATUS_ZOMBIE, "a zombie", 60, every=0.01)
    wait_until_ended(child)
    os.waitpid(child, 0)
    wait_until_ended(child)
    monkeypatch.setattr(stack, "END_SECONDS", 0.1)
    with pytest.raises(MarketError, match=rf"The supervisor \(pid {os.getpid()}\) did not end within"):
        wait_until_ended(os.getpid())


def test_two_commands_do_not_change_one_home_at_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    lines: list[str] = []
    entered = threading.Event()

    def second() -> None:
        with exclusive_lock(home, lines.append):
            entered.set()

    with exclusive_lock(home, lines.append):
        assert (home / "lock").stat().st_mode & 0o777 == 0o600
        thread = threading.Thread(target=second)
        thread.start()
        wait_until(lambda: lines, "a line about the wait", 60, every=0.01)
        assert not entered.is_set()
    thread.join(60)
    assert entered.is_set()
    assert lines == [f"Waiting for another ./market command in {home} ..."]


def test_a_home_is_its_owners_only_one_of_an_earlier_version_too(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir(mode=0o755)
    for name in ("old", "new"):
        with exclusive_lock(tmp_path / name, lambda _: None):
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o700


def test_a_command_does_not_wait_for_ever_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "LOCK_SECONDS", 0.1)
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sentence = rf"Another \./market command worked in {tmp_path} for more than 0 s: wait for it"
        with pytest.raises(MarketError, match=sentence), exclusive_lock(tmp_path, lambda _: None):
            pass


def test_the_feeds_that_filled_a_store_are_kept_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert used_feeds(tmp_path) == []
    for feed in ("demo", "none", "demo", "live"):
        add_used_feed(tmp_path, feed)  # type: ignore[arg-type]
    assert used_feeds(tmp_path) == ["demo", "none", "live"]


def test_what_a_stack_was_started_with_is_kept_and_removed_with_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert read_state(tmp_path) == {}
    write_state(tmp_path, {"feed": "demo"})
    assert read_state(tmp_path) == {"feed": "demo"}
    for name in ("collector.json", "supervisord.conf", "supervisor.sock", "other"):
        (run / name).touch()
    assert socket_file(tmp_path) == run / "supervisor.sock"
    remove_run_files(tmp_path)
    assert [path.name for path in run.iterdir()] == ["other"]
    (run / "stack.json").write_text("no JSON")
    assert read_state(tmp_path) == {}


def test_a_reset_removes_the_data_and_keeps_the_passwords(settings: OpsSettings) -> None:
    home = settings.market_home
    (home / "secrets.env").touch()
    (home / "data" / "file").touch()
    (home / "tmp").rmdir()
    lines: list[str] = []
    reset(settings, lines.append)
    assert sorted(path.name for path in home.iterdir()) == ["lock", "secrets.env"]
    assert lines[-1] == f"Removed the data in {home}."


def test_a_reset_that_cannot_remove_something_names_it(settings: OpsSettings) -> None:
    home = settings.market_home
    (home / "data").rmdir()
    (home / "data").touch()  # a file where a folder should be
    with pytest.raises(MarketError, match=rf"{home}/data could not be removed \(Not a directory\)"):
        reset(settings, lambda _: None)


def test_nothing_is_removed_where_nothing_is(tmp_path: Path) -> None:
    lines: list[str] = []
    reset(OpsSettings(market_home=tmp_path / "absent"), lines.append)
    assert lines == ["There was nothing to remove."]
    assert not (tmp_path / "absent").exists()
