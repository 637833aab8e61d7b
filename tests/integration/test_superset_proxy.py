"""Superset behind a real proxy that speaks TLS, configured as the operator's guide says."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from common.settings import ROOT
from ops.install.dependencies import apt_install, can_apt, ensure_superset
from ops.install.monitoring import starting_nothing
from ops.install.secrets import ensure_secrets
from ops.settings import cache_folder, read_env_file
from stack import free_ports, wait_until

GUIDE = ROOT / "docs" / "operations.md"
EXAMPLE = "charts.example.org"
START_SECONDS = 240

pytestmark = pytest.mark.timeout(600)


class Site:
    """A Superset, its proxy, and how a browser reaches it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port, self.public_port, self.nobody = free_ports(3)
        self.url = f"https://localhost:{self.public_port}"
        self.certificate = home / "certificate.pem"

    def browser(self) -> requests.Session:
        """Return a session that trusts the site's certificate only."""
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.certificate)
        return session


@pytest.fixture(scope="module")
def nginx() -> str:
    """Install nginx where that is possible."""
    if shutil.which("nginx") is None:
        if not can_apt():
            pytest.skip("needs nginx")
        with starting_nothing():
            apt_install("nginx-light")
    return shutil.which("nginx") or "/usr/sbin/nginx"


@pytest.fixture(scope="module")
def site(nginx: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start Superset, without Presto, and the proxy of the guide's example before it."""
    site = Site(tmp_path_factory.mktemp("superset"))
    ensure_secrets(site.home / "secrets.env")
    start_proxy = proxy(nginx, site)
    own = {
        "MARKET_HOME": str(site.home),
        "MARKET_SUPERSET_ENV": str(ensure_superset(cache_folder(), print)),
        "MARKET_PYTHON": sys.executable,
        "SUPERSET_PORT": str(site.port),
        "PRESTO_PORT": str(site.nobody),
        "SUPERSET_PUBLIC_URL": site.url,
    }
    with (
        (site.home / "superset.log").open("wb") as log,
        subprocess.Popen(
            [ROOT / "superset" / "entrypoint.sh"], env=os.environ | own, stdout=log, stderr=log
        ) as superset,
        subprocess.Popen(start_proxy, stderr=log) as front,
    ):
        try:
            wait_until(lambda: answers(site) or superset.poll() is not None, "Superset", START_SECONDS)
            assert superset.poll() is None, (site.home / "superset.log").read_text()[-4000:]
            yield site
        finally:
            front.terminate()
            superset.terminate()


def proxy(nginx: str, site: Site) -> list[str]:
    """Write the guide's example with this site's name, ports and certificate; return the command."""
    key = site.home / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", key, "-out", site.certificate),
        ],
        check=True,
        capture_output=True,
    )
    [example] = re.findall(r"```nginx\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    for given, here in (
        (f"/etc/ssl/{EXAMPLE}.pem", str(site.certificate)),
        (f"/etc/ssl/{EXAMPLE}.key", str(key)),
        (EXAMPLE, "localhost"),
        ("listen 443", f"listen 127.0.0.1:{site.public_port}"),
        ("127.0.0.1:8088", f"127.0.0.1:{site.port}"),
    ):
        assert given in example
        example = example.replace(given, here)
    temporary = "".join(
        f"{kind}_temp_path {site.home}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = site.home / "nginx.conf"
    file.write_text(
        f"daemon off; pid {site.home}/nginx.pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off;\n{temporary}{example}}}\n"
    )
    return [nginx, "-e", "stderr", "-c", str(file)]


def answers(site: Site) -> bool:
    """Tell whether Superset answers at its own port, as its health check asks."""
    try:
        return requests.get(f"http://127.0.0.1:{site.port}/health", timeout=10).text == "OK"
    except (requests.ConnectionError, requests.Timeout):
        return False


def test_a_user_logs_in_through_the_proxy_by_a_cookie_that_only_tls_carries(site: Site) -> None:
    browser = site.browser()
    page = browser.get(f"{site.url}/login/", timeout=60)
    [token] = set(re.findall(r'csrf_token"[^>]*value="([^"]+)"', page.text))
    password = read_env_file(site.home / "secrets.env")["SUPERSET_ADMIN_PASSWORD"]
    form = {"username": "admin", "password": password, "csrf_token": token}
    answer = browser.post(
        f"{site.url}/login/",
        form,
        headers={"Referer": f"{site.url}/login/"},
        allow_redirects=False,
        timeout=60,
    )
    assert answer.status_code == 302, answer.text[-2000:]
    assert answer.headers["Location"].startswith(("/", site.url))
    [cookie] = [line for line in answer.raw.headers.getlist("Set-Cookie") if line.startswith("superset-")]
    assert {part.strip() for part in cookie.split(";")[1:]} >= {"Secure", "HttpOnly", "SameSite=Strict"}
    me = browser.get(f"{site.url}/api/v1/me/", timeout=60)
    assert me.json()["result"]["username"] == "admin"
    assert me.headers["Strict-Transport-Security"].startswith("max-age=3")


def test_redirects_lead_to_the_public_name(site: Site) -> None:
    answer = site.browser().get(f"{site.url}/superset/dashboard/market/", allow_redirects=False, timeout=60)
    assert answer.status_code in (302, 308)
    assert answer.headers["Location"].startswith(("/login", f"{site.url}/login"))


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host"])
def test_another_name_is_refused_or_not_believed(site: Site, header: str) -> None:
    answer = site.browser().get(f"{site.url}/login/", headers={header: "evil.example"}, timeout=60)
    assert answer.status_code == (421 if header == "Host" else 200)
    assert "evil.example" not in answer.text


def test_without_the_proxy_only_the_health_check_is_answered(site: Site) -> None:
    assert answers(site)
    answer = requests.get(f"http://127.0.0.1:{site.port}/login/", timeout=60)
    assert (answer.status_code, answer.text) == (421, f"This is {site.url}, and nothing else.\n")
