"""One collector a token and address on one machine."""

import logging
from pathlib import Path

import pytest
from pydantic import SecretStr

from collector.token_lock import TokenLock, TokenLockError, lock_folder

TOKEN = SecretStr("secret0token")
URL = "wss://ws.finnhub.io"


def test_a_second_home_with_the_same_token_is_told_whose_it_is(tmp_path: Path) -> None:
    first = TokenLock(TOKEN, URL, tmp_path / "one", tmp_path / "locks")
    with pytest.raises(TokenLockError, match=f"{tmp_path}/one already uses this FINNHUB_API_TOKEN") as error:
        TokenLock(TOKEN, URL, tmp_path / "two", tmp_path / "locks")
    assert error.value.holder == str(tmp_path / "one")
    assert "./market down" in str(error.value)
    first.close()
    second = TokenLock(TOKEN, URL, tmp_path / "two", tmp_path / "locks")
    with pytest.raises(TokenLockError) as error:
        TokenLock(TOKEN, URL, tmp_path / "one", tmp_path / "locks")
    assert error.value.holder == str(tmp_path / "two")
    second.close()


def test_another_token_or_address_is_free_and_the_token_is_not_written(tmp_path: Path) -> None:
    locks = [
        TokenLock(TOKEN, URL, tmp_path / "one", tmp_path / "locks"),
        TokenLock(SecretStr("other"), URL, tmp_path / "two", tmp_path / "locks"),
        TokenLock(TOKEN, "ws://127.0.0.1:1", tmp_path / "three", tmp_path / "locks"),
    ]
    written = [(path.name, path.read_text()) for path in (tmp_path / "locks").iterdir()]
    assert len(written) == 3
    assert "secret0token" not in repr(written)
    for lock in locks:
        lock.close()


def test_where_no_lock_can_be_written_it_goes_on_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        TokenLock(TOKEN, URL, tmp_path, tmp_path / "file" / "locks").close()
    assert "could not be written" in caplog.text


def test_all_homes_of_a_user_share_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MARKET_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert lock_folder() == tmp_path / "trading-data-dashboard" / "locks"
    monkeypatch.setenv("MARKET_CACHE", str(tmp_path / "cache"))
    assert lock_folder() == tmp_path / "cache" / "locks"
