"""How Maven is told about a proxy: by a file of the owner only, never by its command line."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from common.settings import ROOT

MAVEN = """#!/usr/bin/env bash
printf '%s\\n' "$@" >"$TOLD/arguments"
env >"$TOLD/environment"
while [[ $1 != -gs ]]; do shift; done
stat -c %a "$2" >"$TOLD/mode"
cp "$2" "$TOLD/settings.xml"
exit 1
"""


def told(folder: Path, **environ: str) -> tuple[list[dict[str, str]], str]:
    """Return the proxies that Maven was told of, and its arguments."""
    maven = folder / "mvn"
    maven.write_text(MAVEN)
    maven.chmod(0o700)
    usual = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        [ROOT / "common" / "fetch-jars.sh", "kafka", folder / "jars"],
        env=usual | {"MVN": str(maven), "PYTHON": sys.executable, "TOLD": str(folder)} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert (
        done.stderr
        == "Maven could not fetch the jars of kafka (see above); check the network and try again.\n"
    )
    assert (folder / "mode").read_text() == "600\n"
    proxies = ElementTree.parse(folder / "settings.xml").getroot().findall("proxies/proxy")
    return (
        [{element.tag: element.text or "" for element in proxy} for proxy in proxies],
        (folder / "arguments").read_text(),
    )


def test_a_login_is_decoded_and_in_no_command_line(tmp_path: Path) -> None:
    [proxy], arguments = told(tmp_path, HTTPS_PROXY="http://me%40home:p%3Aw%26<d@proxy.example:3128")
    assert (proxy["username"], proxy["password"]) == ("me@home", "p:w&<d")
    assert (proxy["protocol"], proxy["host"], proxy["port"]) == ("https", "proxy.example", "3128")
    assert not any(part in arguments for part in ("p:w", "p%3Aw", "me@home"))
    settings = Path(arguments.splitlines()[arguments.splitlines().index("-gs") + 1])
    assert not settings.exists()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, []),
        (
            {
                "https_proxy": "proxy:8080",
                "http_proxy": "http://other",
                "no_proxy": "localhost, .example.org",
            },
            [
                {"protocol": "https", "host": "proxy", "port": "8080"},
                {"protocol": "http", "host": "other", "port": "80"},
            ],
        ),
    ],
)
def test_each_scheme_has_its_proxy(
    tmp_path: Path, environ: dict[str, str], expected: list[dict[str, str]]
) -> None:
    proxies, _ = told(tmp_path, **environ)
    assert [{name: proxy[name] for name in ("protocol", "host", "port")} for proxy in proxies] == expected
    assert all(proxy["nonProxyHosts"] == "localhost|*.example.org" for proxy in proxies)
    assert all("password" not in proxy for proxy in proxies)


def test_what_a_user_tells_maven_stays(tmp_path: Path) -> None:
    told(tmp_path, MAVEN_OPTS="-Xmx1g")
    assert "MAVEN_OPTS=-Xmx1g\n" in (tmp_path / "environment").read_text()
    assert stat.S_IMODE((tmp_path / "mvn").stat().st_mode) == 0o700
