"""What systemd hears, at a socket as it makes one."""

import socket
from pathlib import Path

import pytest

from common.heartbeat import write_heartbeat
from common.systemd import notify


@pytest.mark.parametrize("address", ["{folder}/notify", "@{folder}"])
def test_systemd_is_told_at_either_kind_of_address(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = address.format(folder=tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")  # nobody is there
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address.replace("@", "\0"))
        systemd.settimeout(60)
        notify("READY=1\nMAINPID=7")
        assert systemd.recv(100) == b"READY=1\nMAINPID=7"
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")


def test_a_sign_of_life_is_one_for_systemd_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        write_heartbeat(tmp_path, "collector", ready=False)
        assert systemd.recv(100) == b"WATCHDOG=1"
