"""At most one run at a time, on any machine: a row in Cassandra that expires unless its holder renews it."""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from cassandra.cluster import Session

from common.cassandra import ERRORS

NAME = "forecast"

# How long the lock of a run that died keeps others waiting, and how often a live one renews it.
EXPIRY_SECONDS = 60
RENEWAL_SECONDS = 15.0
# A usual run takes less than half of this; nobody should wait for longer than a minute or two at a prompt.
WAIT_SECONDS = 120.0
POLL_SECONDS = 1.0

log = logging.getLogger("gbm_analysis")


class LockError(Exception):
    """Say in one sentence who holds the lock, or that it was lost."""


class RunLock:
    """The lock of the forecasting run; to be used in a `with`.

    Entering waits for a run that is under way, and raises LockError when that takes too long.
    """

    def __init__(
        self, session: Session, report: Callable[[str], None], wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._session = session
        self._report = report
        self._wait_seconds = wait_seconds
        self._run_id = uuid.uuid4()
        self._holder = f"process {os.getpid()} on {socket.gethostname()}"
        self._renewed = 0.0
        self._released = threading.Event()
        self._renewal = threading.Thread(target=self._renew, name="lock", daemon=True)
        self._insert = session.prepare(
            "INSERT INTO gbm_locks (name, run_id, holder, since) VALUES (?, ?, ?, ?) "
            "IF NOT EXISTS USING TTL ?"
        )
        self._update = session.prepare(
            "UPDATE gbm_locks USING TTL ? SET run_id = ?, holder = ?, since = ? WHERE name = ? IF run_id = ?"
        )
        self._delete = session.prepare("DELETE FROM gbm_locks WHERE name = ? IF run_id = ?")
        self._since = datetime.now(UTC)

    def require(self) -> None:
        """Raise LockError when the lock may have passed to another run."""
        if time.monotonic() - self._renewed >= EXPIRY_SECONDS:
            raise LockError(
                "The run stopped: its lock in Cassandra was lost, so that another may be under way."
            )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + self._wait_seconds
        waiting = False
        while (other := self._acquire()) is not None:
            if time.monotonic() > deadline:
                raise LockError(
                    f"Another run was under way, {other}; its lock ends with it, "
                    f"or {EXPIRY_SECONDS} s after it was killed."
                )
            if not waiting:
                self._report(f"Waiting for another run, {other} ...")
                waiting = True
            time.sleep(POLL_SECONDS)
        self._renewal.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._renewal.join()
        try:
            self._session.execute(self._delete, (NAME, self._run_id))
        except ERRORS:
            log.warning("The run's lock could not be released; it expires within %s s.", EXPIRY_SECONDS)

    def _acquire(self) -> str | None:
        """Try once; return who holds the lock, or None when this run does."""
        asked, self._since = time.monotonic(), datetime.now(UTC)
        values = (NAME, self._run_id, self._holder, self._since, EXPIRY_SECONDS)
        row = self._session.execute(self._insert, values).one()
        # An insertion that timed out at first may have been stored all the same.
        if row.applied or row.run_id == self._run_id:
            self._renewed = asked
            return None
        return f"{row.holder}, since {row.since:%H:%M:%S} UTC"

    def _renew(self) -> None:
        while not self._released.wait(RENEWAL_SECONDS):
            asked = time.monotonic()
            values = (EXPIRY_SECONDS, self._run_id, self._holder, self._since, NAME, self._run_id)
            try:
                applied = self._session.execute(self._update, values).one().applied
            except ERRORS as error:
                log.warning("The run's lock could not be renewed: %s.", error)
                continue
            if not applied:
                self._renewed = -EXPIRY_SECONDS
                return
            self._renewed = asked
