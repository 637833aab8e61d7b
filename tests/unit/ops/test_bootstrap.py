from pathlib import Path

import pytest

from ops.install.bootstrap import (
    BootstrapError,
    building,
    check_space,
    find_link,
    index_url,
    uv_environment,
    without_login,
)


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "https://pypi.org/simple"),
        ({"PIP_INDEX_URL": "https://mirror/simple/"}, "https://mirror/simple"),
        ({"PIP_INDEX_URL": "https://a/simple", "UV_INDEX_URL": "https://b/simple"}, "https://b/simple"),
        ({"UV_DEFAULT_INDEX": "inner=https://c/simple", "UV_INDEX_URL": "https://b"}, "https://c/simple"),
        ({"UV_DEFAULT_INDEX": " "}, "https://pypi.org/simple"),
    ],
)
def test_the_package_index_is_the_one_the_environment_names(environ: dict[str, str], url: str) -> None:
    assert index_url(environ) == url


def test_uv_gets_the_index_and_never_another_python() -> None:
    environ = uv_environment({"PIP_INDEX_URL": "https://mirror/simple", "VIRTUAL_ENV": "/x", "HOME": "/h"})
    assert environ["UV_DEFAULT_INDEX"] == "https://mirror/simple"
    assert environ["UV_PYTHON_DOWNLOADS"] == "never"
    assert environ["HOME"] == "/h"
    assert "VIRTUAL_ENV" not in environ
    assert "UV_DEFAULT_INDEX" not in uv_environment({})


def test_a_login_in_the_url_becomes_a_header() -> None:
    assert without_login("https://index/simple") == ("https://index/simple", {})
    assert without_login("https://me:p%40ss@index:8443/simple") == (
        "https://index:8443/simple",
        {"Authorization": "Basic bWU6cEBzcw=="},
    )


@pytest.mark.parametrize(
    "href",
    [
        "../../packages/uv-1-any.whl#sha256=0",
        "https://files/packages/uv-1-any.whl",
        "/packages/uv%2D1-any.whl",
    ],
)
def test_the_wheel_is_found_on_pages_of_any_index(href: str) -> None:
    page = f'<a href="uv-0-any.whl">uv-0-any.whl</a>\n<a data-x="1" href="{href}">uv-1-any.whl</a>'
    link = find_link(page, "https://index/simple/uv/", "uv-1-any.whl")
    assert link is not None
    assert link.startswith("https://")
    assert "#" not in link
    assert "packages/uv" in link
    assert find_link(page, "https://index/simple/uv/", "uv-2-any.whl") is None


def test_a_full_disk_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_space(tmp_path)
    monkeypatch.setattr("ops.install.bootstrap.NEEDED_BYTES", 1 << 60)
    with pytest.raises(BootstrapError, match=r"GB of free disk space.*MARKET_CACHE"):
        check_space(tmp_path)


def test_an_installation_does_not_wait_for_ever_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ops.install.bootstrap.INSTALL_SECONDS", 0.1)
    target = tmp_path / "env"
    with building(target) as missing:
        assert missing
        with pytest.raises(BootstrapError, match=r"env for more than 0\.1 s: end it"), building(target):
            pass
    assert capsys.readouterr().err == f"Waiting for another run that installs {target} ...\n"
