"""One collector a token: Finnhub drops both connections when a second one comes."""

import fcntl
import hashlib
import logging
import os
from pathlib import Path
from typing import IO

from pydantic import SecretStr

log = logging.getLogger(__name__)


class TokenLockError(Exception):
    """Say in one sentence that the collector of the home `holder` uses the token already."""

    def __init__(self, holder: str) -> None:
        super().__init__(
            f"The collector of {holder or 'another home'} already uses this FINNHUB_API_TOKEN, and Finnhub "
            f"allows one connection a token: stop that one with MARKET_HOME={holder} "
            f"./market down, or use another token."
        )
        self.holder = holder


def lock_folder() -> Path:
    """Return this user's folder of locks, the same for all homes."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(os.environ.get("MARKET_CACHE") or Path(base) / "trading-data-dashboard") / "locks"


class TokenLock:
    """Holds a token of a websocket's address until closed or the process ends.

    The file is named by a hash and holds the holder's home, never the token. Raises TokenLockError when
    another collector holds it; where no file can be written, that is logged and nothing is locked.
    """

    def __init__(self, token: SecretStr, url: str, home: Path, folder: Path) -> None:
        key = hashlib.sha256(f"{url}\n{token.get_secret_value()}".encode()).hexdigest()[:32]
        self._file: IO[str] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = (folder / f"collector-{key}.lock").open("a+", encoding="utf-8")
        except OSError as error:
            log.warning(
                "%s could not be written (%s): nothing keeps a second collector from using the token.",
                folder,
                error.strerror,
            )
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            with file:
                file.seek(0)
                holder = file.read().strip()
            raise TokenLockError(holder) from None
        file.truncate(0)
        file.write(str(home))
        file.flush()
        self._file = file

    def close(self) -> None:
        """Let another collector have the token."""
        if self._file is not None:
            self._file.close()
