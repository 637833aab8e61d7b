"""Word of alerts by apprise: each is told once when it begins and once when it ends, to every address."""

import hashlib
import json
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

import apprise

from common.files import replace_text
from ops.monitoring.rules import Alert

log = logging.getLogger(__name__)


class UrlError(Exception):
    """Say that an address cannot be used, without the address."""


def addresses(urls: str) -> list[apprise.NotifyBase]:
    """Read one or more URLs; raise UrlError."""
    found = apprise.Apprise()
    if not found.add(urls):
        raise UrlError("MARKET_ALERTS held a URL that apprise does not know; see its list of services.")
    return list(found)


class Messenger:
    """Remembers, for each address, what it was told; so a restart repeats nothing and forgets nothing."""

    def __init__(self, addresses: Sequence[apprise.NotifyBase], file: Path) -> None:
        self._addresses = addresses
        self._file = file
        try:
            self._told: dict[str, dict[str, str]] = json.loads(file.read_text())
        except (OSError, ValueError):
            self._told = {}

    def tell(self, alerts: Sequence[Alert]) -> None:
        """Tell what began and what ended; an address that does not take it is tried again the next time."""
        for address in self._addresses:
            name = hashlib.sha256(address.url().encode()).hexdigest()[:16]  # type: ignore[no-untyped-call]
            told = self._told.get(name, {})
            now = {alert.key: alert.summary for alert in alerts}
            begun = [alert for alert in alerts if alert.key not in told]
            ended = [summary for key, summary in told.items() if key not in now]
            if not begun and not ended:
                continue
            if self._send(address, begun, ended):
                self._told[name] = {key: told.get(key, summary) for key, summary in now.items()}
                replace_text(self._file, json.dumps(self._told))

    def _send(self, address: apprise.NotifyBase, begun: Sequence[Alert], ended: Sequence[str]) -> bool:
        counts = [f"{len(part)} {word}" for part, word in ((begun, "began"), (ended, "ended")) if part]
        kind = apprise.NotifyType.FAILURE if begun else apprise.NotifyType.SUCCESS
        title = f"Trading data on {socket.gethostname()}: alerts: {', '.join(counts)}"
        taken = address.notify(body=text(begun, ended), title=title, notify_type=kind)
        if not taken:
            log.warning("%s did not take %s; it is tried again.", address.service_name, ", ".join(counts))
        return taken


def text(begun: Sequence[Alert], ended: Sequence[str]) -> str:
    """Return what is sent."""
    return "\n\n".join(
        [
            *(
                f"{alert.severity}: {alert.summary}\n{alert.meaning}\nWhat helps: {alert.command}"
                for alert in begun
            ),
            *(f"ended: {summary}" for summary in ended),
        ]
    )
