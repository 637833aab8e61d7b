"""The health check of a web server, against a small one."""

import pytest

from common.hangs import Silence
from common.web_health import ask, main
from web_answer import answering


def test_a_server_is_ready_when_it_says_so_whatever_proxy_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with answering(200, b'{"status" : "ALIVE"}') as port:
        url = f"http://127.0.0.1:{port}/"
        assert main(url, '"ALIVE"', 120, 1) == 0
        assert capsys.readouterr().out == "ready\n"
        assert main(url, '"STANDBY"', 120, 1) == 1
        assert capsys.readouterr().out == f'{url} did not answer "STANDBY"\n'
        assert not isinstance(ask(url, "x"), Silence)


def test_only_a_server_that_gives_no_answer_is_silent() -> None:
    with answering(503, b"OK") as port:
        url = f"http://127.0.0.1:{port}/"
        assert ask(url, "OK") == f"{url} answered 503 Service Unavailable"
        assert not isinstance(ask(url, "OK"), Silence)
    assert isinstance(ask(url, "OK"), Silence)
