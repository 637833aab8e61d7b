"""What a process tells the systemd that started it, and nobody else."""

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Send a state such as `WATCHDOG=1` (see sd_notify(3)); without a systemd that asked for it, nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address.startswith("@"):  # an address that is no file begins with a zero byte
        address = f"\0{address[1:]}"
    if address:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(state.encode(), address)
