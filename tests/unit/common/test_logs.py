"""The log of a service, in a process of its own: what ends it or a thread is there, and no secret is."""

import logging
import subprocess
import sys

from common.redaction import MASK

SECRET = "hunter/2 +"
START = f"""
import logging, threading
from pydantic import SecretStr
from common.logs import start_logging
start_logging(SecretStr({SECRET!r}), None, SecretStr(""), libraries={{"chatty": {logging.ERROR}}})
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START + script], capture_output=True, text=True, timeout=60, check=False
    )


def test_an_error_that_ends_the_process_is_logged_without_the_secret() -> None:
    ended = run(f"raise ValueError('the token was {SECRET}')")
    assert ended.returncode == 1
    assert "CRITICAL common.logs: The process ended by an error." in ended.stderr
    assert f"ValueError: the token was {MASK}" in ended.stderr
    assert "hunter" not in ended.stderr


def test_an_error_that_ends_a_thread_is_logged_with_its_name() -> None:
    ended = run(
        "def fail(): raise ValueError('x?token=hunter%2F2%20%2B&y=hunter%2F2+%2B')\n"
        "thread = threading.Thread(target=fail, name='publisher'); thread.start(); thread.join()"
    )
    assert ended.returncode == 0
    assert "CRITICAL common.logs: The thread publisher ended by an error." in ended.stderr
    assert f"ValueError: x?token={MASK}&y={MASK}" in ended.stderr
    assert "hunter" not in ended.stderr


def test_libraries_are_heard_from_their_level_on() -> None:
    ended = run(
        "logging.getLogger('chatty').warning('quiet'); logging.getLogger('chatty').error('loud')\n"
        "logging.getLogger('own').info('said')"
    )
    assert "quiet" not in ended.stderr
    assert "ERROR chatty: loud" in ended.stderr
    assert "INFO own: said" in ended.stderr
