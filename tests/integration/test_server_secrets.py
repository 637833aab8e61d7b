"""Passwords stay in files that only their owner can read, on a running stack."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values

from stack import Stack

CHUNK = 1 << 20


@pytest.fixture
def secrets(stack: Stack) -> dict[str, bytes]:
    found = dotenv_values(stack.home / "secrets.env")
    assert found
    return {name: (value or "").encode() for name, value in found.items()}


def texts(path: Path) -> Iterator[bytes]:
    """Yield a file in overlapping pieces."""
    with path.open("rb") as file:
        tail = b""
        while piece := file.read(CHUNK):
            yield tail + piece
            tail = piece[-100:]


def revealed(path: Path, secrets: dict[str, bytes]) -> set[str]:
    try:
        return {name for text in texts(path) for name, secret in secrets.items() if secret in text}
    except OSError:  # a process or a temporary file that has just ended
        return set()


def test_no_process_shows_a_password_in_its_arguments(secrets: dict[str, bytes]) -> None:
    shown = {
        (path.parent.name, name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        for name in revealed(path, secrets)
    }

    assert shown == set()


def test_no_log_holds_a_password(stack: Stack, secrets: dict[str, bytes]) -> None:
    logs = [path for path in (stack.home / "logs").rglob("*") if path.is_file()]
    assert logs

    assert {(path.name, name) for path in logs for name in revealed(path, secrets)} == set()


def test_files_with_passwords_are_their_owners_only(stack: Stack, secrets: dict[str, bytes]) -> None:
    holders = [
        path
        for folder in ("run", "tmp", ".")
        for path in (stack.home / folder).glob("**/*" if folder != "." else "*")
        if path.is_file() and revealed(path, secrets)
    ]

    assert stack.home / "secrets.env" in holders
    assert [path for path in holders if path.stat().st_mode & 0o077] == []
