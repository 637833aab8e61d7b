"""The health check of a web server, against a small one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from common.hangs import Silence
from common.web_health import ask, main


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def test_a_server_is_ready_when_it_says_so_whatever_proxy_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with answering(200, b'{"status" : "ALIVE"}') as url:
        assert main(url, '"ALIVE"', 120, 1) == 0
        assert capsys.readouterr().out == "ready\n"
        assert main(url, '"STANDBY"', 120, 1) == 1
        assert capsys.readouterr().out == f'{url} did not answer "STANDBY"\n'
        assert not isinstance(ask(url, "x"), Silence)


def test_only_a_server_that_gives_no_answer_is_silent() -> None:
    with answering(503, b"OK") as url:
        assert ask(url, "OK") == f"{url} answered 503 Service Unavailable"
        assert not isinstance(ask(url, "OK"), Silence)
    assert isinstance(ask(url, "OK"), Silence)
