"""Certificates of a real server, made by openssl."""

import shutil
import ssl
import subprocess
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ops.monitoring.certificates import days_left
from server_thread import running
from stack import free_ports


def test_a_certificate_lasts_until_its_end_and_not_at_all_where_it_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate, and is not here")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [*command, *names, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://localhost:{server.server_port}/"
    with running(server):
        now = time.time()
        assert days_left(url, now) == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert days_left(url, now) == pytest.approx(30, abs=0.01)
        assert days_left(url, now + 40 * 86_400) == 0


def test_an_address_that_does_not_answer_has_no_certificate() -> None:
    assert days_left(f"https://localhost:{free_ports(1)[0]}", 0.0) is None
