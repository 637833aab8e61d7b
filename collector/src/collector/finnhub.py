"""Finnhub's REST interface: its symbol lookup, within the limits that it sets."""

import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage
from typing import IO, Any

import orjson
from pydantic import SecretStr

from collector.connection import retry_after

TIMEOUT_SECONDS = 15.0  # of one read; a lookup takes well under a second
ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 1.0
TOO_MANY_CALLS_SECONDS = 20.0  # where a 429 does not say: a third of the minute that calls are counted in
LONGEST_PAUSE_SECONDS = 60.0  # someone waits for the answer
CALLS_PER_MINUTE = 60
MAX_ANSWER_BYTES = 4 * 1024**2

Wait = Callable[[float], object]
Row = dict[str, str]
COLUMNS = ("symbol", "displaySymbol", "type", "description")


class FinnhubError(Exception):
    """Say in one sentence why Finnhub cannot be asked, and what to do."""


class FinnhubUnavailableError(FinnhubError):
    """Finnhub does not answer now; it may later."""


class CallBudget:
    """Spends at most `calls` in any `seconds`, and waits for the next."""

    def __init__(self, calls: int, seconds: float, steady: Callable[[], float], wait: Wait) -> None:
        self._seconds = seconds
        self._steady = steady
        self._wait = wait
        self._spent: deque[float] = deque(maxlen=calls)

    def spend(self) -> None:
        """Wait until a call may be made, and count it."""
        if len(self._spent) == self._spent.maxlen:
            pause = self._spent[0] + self._seconds - self._steady()
            if pause > 0:
                self._wait(pause)
        self._spent.append(self._steady())


class _SameHostRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only within the host, because each request carries the token."""

    def redirect_request(  # noqa: PLR0917
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if (old.scheme, old.netloc) != (new.scheme, new.netloc):
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class FinnhubClient:
    """Asks Finnhub; the token travels in a header, to the configured host only.

    `wait` sleeps for so many seconds and `steady` is the clock that calls are counted by.
    """

    def __init__(
        self,
        url: str,
        token: SecretStr,
        wait: Wait = time.sleep,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._token = token
        self._wait = wait
        self._budget = CallBudget(CALLS_PER_MINUTE, 60.0, steady, wait)
        self._opener = urllib.request.build_opener(_SameHostRedirects)

    def search(self, words: str) -> list[Row]:
        """Return the symbols that Finnhub finds for some words, with COLUMNS; raise FinnhubError."""
        answer = self._get(f"/search?{urllib.parse.urlencode({'q': words})}")
        try:
            return [{name: str(row.get(name, "")) for name in COLUMNS} for row in answer["result"]]
        except (KeyError, TypeError, AttributeError):
            raise FinnhubUnavailableError(
                f"The lookup at {self._url} answered something else than symbols: check FINNHUB_REST_URL."
            ) from None

    def _get(self, path: str) -> Any:
        pause = FIRST_PAUSE_SECONDS
        for attempt in range(1, ATTEMPTS + 1):
            self._budget.spend()
            try:
                return self._ask(path)
            except urllib.error.HTTPError as error:
                problem, wanted = self._refusal(error)
            except (OSError, ValueError, HTTPException) as error:
                reason = getattr(error, "reason", None) or type(error).__name__
                problem, wanted = f"Finnhub could not be asked at {self._url} ({reason}).", None
            pause_now = pause if wanted is None else wanted
            if attempt == ATTEMPTS or pause_now > LONGEST_PAUSE_SECONDS:
                raise FinnhubUnavailableError(problem)
            self._wait(pause_now)
            pause *= 2
        raise AssertionError

    def _refusal(self, error: urllib.error.HTTPError) -> tuple[str, float | None]:
        """Return what an HTTP status means and how long to wait; raise FinnhubError for one that stays."""
        status = error.code
        wanted = retry_after(error.headers.get("Retry-After"), time.time())
        error.close()
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise FinnhubError(
                f"Finnhub refused the token (HTTP status {status}): put a valid one into FINNHUB_API_TOKEN."
            ) from None
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            wanted = TOO_MANY_CALLS_SECONDS if wanted is None else wanted
            return f"Finnhub counted too many calls: try again in {max(wanted, 1):.0f} s.", wanted
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            raise FinnhubUnavailableError(
                f"{self._url} redirected to another host, which is not given the token: "
                "check FINNHUB_REST_URL."
            ) from None
        return f"Finnhub answered with HTTP status {status}.", wanted

    def _ask(self, path: str) -> Any:
        request = urllib.request.Request(  # noqa: S310
            f"{self._url}{path}", headers={"X-Finnhub-Token": self._token.get_secret_value()}
        )
        with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            body = answer.read(MAX_ANSWER_BYTES + 1)
        if len(body) > MAX_ANSWER_BYTES:
            raise ValueError("the answer was too long")
        return orjson.loads(body)
