"""Finnhub's REST interface against local servers that answer as it does, and as it should not."""

import email.utils
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from collector.finnhub import CallBudget, FinnhubClient, FinnhubError, FinnhubUnavailableError
from feeds import answering
from server_thread import running

TOKEN = "secret0token"
APPLE = {"description": "APPLE INC", "displaySymbol": "AAPL", "symbol": "AAPL", "type": "Common Stock"}
GOOD = json.dumps({"count": 1, "result": [APPLE]})
Answer = tuple[int, dict[str, str], str]


class Requests(list[str]):
    """The requests that came: path and token of each."""

    url = ""


@contextmanager
def rest(*answers: Answer) -> Iterator[Requests]:
    """Answer the first request by the first answer, and so on, the last one being repeated."""
    requests = Requests()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers[min(len(requests), len(answers) - 1)]
            requests.append(f"{self.path} {self.headers['X-Finnhub-Token']}")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    requests.url = f"http://127.0.0.1:{server.server_port}"
    with running(server):
        yield requests


def client(url: str, waits: list[float]) -> FinnhubClient:
    return FinnhubClient(url, SecretStr(TOKEN), waits.append)


def test_the_words_are_quoted_and_the_token_travels_in_a_header_only() -> None:
    with rest((200, {}, GOOD)) as requests:
        assert client(requests.url, []).search("A/B ä") == [APPLE]
    assert requests == [f"/search?q=A%2FB+%C3%A4 {TOKEN}"]


def test_what_a_row_lacks_is_empty_and_what_it_has_more_is_left_out() -> None:
    with rest((200, {}, '{"result":[{"symbol":"X","more":1}]}')) as requests:
        rows = client(requests.url, []).search("x")
    assert rows == [{"symbol": "X", "displaySymbol": "", "type": "", "description": ""}]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_told_at_once_and_not_tried_again(status: int) -> None:
    waits: list[float] = []
    with rest((status, {}, "")) as requests, pytest.raises(FinnhubError, match="FINNHUB_API_TOKEN") as error:
        client(requests.url, waits).search("apple")
    assert not isinstance(error.value, FinnhubUnavailableError)
    assert (len(requests), waits) == (1, [])
    assert TOKEN not in str(error.value)


@pytest.mark.parametrize(
    ("answers", "waits"),
    [
        ([(429, {}, "")], [20.0]),
        ([(429, {"Retry-After": "7"}, "")], [7.0]),
        ([(429, {"Retry-After": "soon"}, "")], [20.0]),
        ([(503, {"Retry-After": "60"}, "")], [60.0]),
        ([(500, {}, ""), (502, {}, ""), (200, {}, "<html>")], [1.0, 2.0, 4.0]),
    ],
)
def test_after_a_passing_trouble_it_asks_again(answers: list[Answer], waits: list[float]) -> None:
    waited: list[float] = []
    with rest(*answers, (200, {}, GOOD)) as requests:
        assert client(requests.url, waited).search("apple") == [APPLE]
        assert len(requests) == len(answers) + 1
    assert waited == waits


@pytest.mark.parametrize(
    ("answer", "sentence", "waits"),
    [
        ((429, {}, ""), "too many calls: try again in 20 s", [20.0, 20.0, 20.0]),
        ((429, {"Retry-After": "3600"}, ""), "try again in 3600 s", []),
        ((429, {"Retry-After": "61"}, ""), "try again in 61 s", []),
        ((500, {}, ""), "HTTP status 500", [1.0, 2.0, 4.0]),
        ((200, {}, "hello"), r"could not be asked at http://.* \(JSONDecodeError\)", [1.0, 2.0, 4.0]),
        ((200, {}, "{}"), "check FINNHUB_REST_URL", []),
        ((200, {}, '{"result":[1]}'), "check FINNHUB_REST_URL", []),
        ((200, {}, "[" * 100_000), "could not be asked", [1.0, 2.0, 4.0]),
    ],
)
def test_a_lasting_trouble_is_a_sentence(answer: Answer, sentence: str, waits: list[float]) -> None:
    waited: list[float] = []
    with rest(answer) as requests, pytest.raises(FinnhubUnavailableError, match=sentence) as error:
        client(requests.url, waited).search("apple")
    assert waited == waits
    assert TOKEN not in str(error.value)


def test_a_date_in_retry_after_is_understood() -> None:
    waited: list[float] = []
    moment = email.utils.formatdate(time.time() + 3600, usegmt=True)
    with rest((429, {"Retry-After": moment}, "")) as requests, pytest.raises(FinnhubUnavailableError):
        client(requests.url, waited).search("apple")
    assert waited == []


@pytest.mark.parametrize("answer", [b"", b"hello\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\xff\xfe\r\n\r\n"])
def test_garbage_as_an_http_answer_is_a_sentence(answer: bytes) -> None:
    with answering(answer) as port, pytest.raises(FinnhubUnavailableError, match="could not be asked"):
        client(f"http://127.0.0.1:{port}", []).search("apple")


def test_nothing_at_the_address_is_a_sentence() -> None:
    with rest((200, {}, "")) as requests:
        pass
    with pytest.raises(FinnhubUnavailableError, match="Connection refused"):
        client(requests.url, []).search("apple")


def test_the_token_does_not_follow_a_redirect_to_another_host() -> None:
    with rest((200, {}, GOOD)) as other, rest((302, {"Location": f"{other.url}/search"}, "")) as requests:
        with pytest.raises(FinnhubUnavailableError, match="redirected to another host"):
            client(requests.url, []).search("apple")
        assert other == []


def test_a_redirect_within_the_host_is_followed() -> None:
    with rest((302, {"Location": "/v2/search"}, ""), (200, {}, GOOD)) as requests:
        assert client(requests.url, []).search("apple") == [APPLE]
    assert requests[1] == f"/v2/search {TOKEN}"


def test_sixty_calls_a_minute_are_made_and_the_next_waits() -> None:
    now = 100.0
    waits: list[float] = []

    def wait(seconds: float) -> None:
        nonlocal now
        waits.append(seconds)
        now += seconds

    budget = CallBudget(60, 60.0, lambda: now, wait)
    for _ in range(60):
        budget.spend()
        now += 0.25
    assert waits == []
    for _ in range(3):
        budget.spend()
    assert waits == [45.0, 0.25, 0.25]


def test_a_client_keeps_to_the_budget() -> None:
    waits: list[float] = []
    with rest((200, {}, GOOD)) as requests:
        asking = FinnhubClient(requests.url, SecretStr(TOKEN), waits.append, lambda: 5.0)
        for _ in range(61):
            asking.search("apple")
    assert waits == [60.0]
