import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.settings import ROOT
from ops.cli import main
from ops.errors import MarketError
from ops.install.dependencies import Installed
from ops.install.systemd import (
    Site,
    check_site,
    check_stack,
    install,
    installed_units,
    locate,
    render,
    uninstall,
    unit_names,
)
from ops.lifecycle.services import SERVICES as ALL_SERVICES
from ops.lifecycle.services import supervised_services
from ops.lifecycle.supervision import Supervisor, start_supervisor
from ops.settings import OpsSettings

OWNER = pwd.getpwuid(ROOT.stat().st_uid).pw_name
LOCAL = Site(
    kind="local",
    system=True,
    user=OWNER,
    root=Path("/opt/market"),
    home=Path("/var/lib/market"),
    cache=Path("/var/cache/market"),
    java_home=Path("/usr/lib/jvm/java-17"),
    docker=None,
)
COMPOSE = replace(LOCAL, kind="compose", java_home=None, docker=Path("/usr/bin/true"))
SITES = [LOCAL, replace(LOCAL, system=False), COMPOSE, replace(COMPOSE, system=False)]
SCHEDULED = {"market-collector.service", "market-gbm-analysis.service", "market-backup.service"}
SERVICES = {
    "local": {"market-stack.service", *SCHEDULED},
    "compose": {"market-compose.service", *SCHEDULED},
}
MINUTES = {
    "market-collector.timer": "00:00",
    "market-gbm-analysis.timer": "00:20",
    "market-backup.timer": "05:00",
}
TIMERS = set(MINUTES)
TOKEN = "secrettoken"
MOST_EXPOSED = dict.fromkeys(SCHEDULED, 2.0)
MOST_EXPOSED_STACK = 2.5

every_site = pytest.mark.parametrize("site", SITES, ids=lambda site: f"{site.kind}-{site.system}")


def settings(home: Path, scheduler: str = "systemd") -> OpsSettings:
    return OpsSettings(market_home=home, market_scheduler=scheduler)  # type: ignore[arg-type]


def analyze(*arguments: str | Path) -> str:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    result = subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        env={**os.environ, "XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR", tempfile.gettempdir())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def written(site: Site, folder: Path) -> Path:
    folder.mkdir()
    for name, text in render(site).items():
        (folder / name).write_text(text)
    return folder


def values(text: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


@pytest.fixture
def root_with_a_strange_name(tmp_path: Path) -> Path:
    root = tmp_path / "a 100% strange; place"
    root.mkdir()
    shutil.copy("/usr/bin/true", root / "market")
    return root


@every_site
def test_every_unit_is_one_that_systemd_accepts_whatever_the_path(
    site: Site, root_with_a_strange_name: Path, tmp_path: Path
) -> None:
    site = replace(
        site,
        root=root_with_a_strange_name,
        home=root_with_a_strange_name / "home",
        docker=root_with_a_strange_name / "market",
    )
    folder = written(site, tmp_path / "units")
    scope = [] if site.system else ["--user"]
    said = analyze("verify", *scope, "--man=no", *sorted(folder.iterdir()))
    assert [line for line in said.splitlines() if str(folder) in line] == []


@pytest.mark.parametrize("site", [LOCAL, COMPOSE], ids=lambda site: site.kind)
def test_a_system_unit_exposes_little(site: Site, tmp_path: Path) -> None:
    site = replace(site, user="nobody")
    folder = written(site, tmp_path / "units")
    for name in sorted(SERVICES[site.kind]):
        most = MOST_EXPOSED.get(name, MOST_EXPOSED_STACK)
        analyze("security", "--offline=yes", f"--threshold={most * 10:.0f}", folder / name)


@pytest.mark.parametrize("name", sorted(TIMERS))
def test_a_timer_elapses_every_hour(name: str) -> None:
    (when,) = values(render(LOCAL)[name], "OnCalendar")
    said = analyze("calendar", "--iterations=3", when)
    elapses = re.findall(r"(\d\d):(\d\d):(\d\d) UTC$", said, re.MULTILINE)
    assert len({hour for hour, _, _ in elapses}) == 3
    assert {f"{minute}:{second}" for _, minute, second in elapses} == {MINUTES[name]}


def test_a_missed_forecast_is_made_up_for_and_a_timer_starts_the_service_of_its_name() -> None:
    units = render(LOCAL)
    assert values(units["market-gbm-analysis.timer"], "Persistent") == ["true"]
    for name in TIMERS:
        assert values(units[name], "Unit") == []
        assert name.replace(".timer", ".service") in units


@every_site
def test_the_units_are_those_of_the_kind(site: Site) -> None:
    units = render(site)
    assert set(units) == unit_names(site.kind) == SERVICES[site.kind] | TIMERS
    assert not any("${" in text for text in units.values())


@every_site
def test_a_service_logs_to_the_journal_restarts_with_limits_and_leaves_the_scheduling_to_systemd(
    site: Site,
) -> None:
    for name in SERVICES[site.kind]:
        text = render(site)[name]
        assert values(text, "StandardOutput") == ["journal"]
        assert values(text, "SyslogIdentifier") == [name.removesuffix(".service")]
        assert 'Environment="MARKET_SCHEDULER=systemd"' in text
        assert values(text, "Restart") in (["always"], ["on-failure"])
        assert values(text, "RestartSec")
        assert values(text, "StartLimitBurst")
        assert values(text, "User") == ([OWNER] if site.system else [])


def test_the_hour_ends_every_limit_so_that_a_timer_can_start_its_service_again() -> None:
    for kind in (LOCAL, COMPOSE):
        units = render(kind)
        for timer in TIMERS:
            (interval,) = values(units[timer.replace(".timer", ".service")], "StartLimitIntervalSec")
            assert int(interval.removesuffix("min")) <= 30


def test_what_has_a_jvm_may_compile() -> None:
    units = render(LOCAL)
    denying = {name for name, text in units.items() if values(text, "MemoryDenyWriteExecute") == ["yes"]}
    assert denying == {"market-collector.service"}


def test_compose_leaves_out_what_has_a_unit_of_its_own_only_when_systemd_is_the_scheduler() -> None:
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    extended = {service["extends"]["file"] for service in services.values() if "extends" in service}
    (file,) = extended
    profiles = {}
    for scheduler in ("internal", "systemd"):
        path = ROOT / file.replace("${MARKET_SCHEDULER:-internal}", scheduler)
        profiles[scheduler] = yaml.safe_load(path.read_text())["services"]["scheduled"].get("profiles")
    assert {name for name, service in services.items() if "extends" in service} == {
        service.name for service in ALL_SERVICES if service.scheduled
    }
    assert profiles == {"internal": None, "systemd": ["scheduled"]}
    unit = render(COMPOSE)["market-compose.service"]
    assert [value.partition(" ")[2] for value in values(unit, "ExecStart")] == ["compose up -d --wait"]
    assert [value.partition(" ")[2] for value in values(unit, "ExecStop")] == ['compose "--profile=*" stop']


@every_site
def test_no_unit_holds_the_token(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINNHUB_API_TOKEN", TOKEN)
    assert not any(TOKEN in text or "FINNHUB" in text for text in render(site).values())


@pytest.mark.parametrize("name", ["a'b", 'a"b', "a\\b", "a$b", "a\nb", "b "])
def test_a_path_that_cannot_stand_in_a_unit_is_refused(name: str) -> None:
    with pytest.raises(MarketError, match="could not stand in a unit"):
        check_site(replace(LOCAL, root=Path("/opt", name)))


def test_a_path_that_a_sandbox_hides_is_refused() -> None:
    hidden = replace(LOCAL, home=Path("/var/tmp/market"))
    with pytest.raises(MarketError, match="temporary files"):
        check_site(hidden)
    check_site(replace(hidden, system=False))


def test_a_home_whose_socket_would_be_elsewhere_is_refused() -> None:
    with pytest.raises(MarketError, match="too long"):
        check_site(replace(LOCAL, home=Path("/srv", *["folder"] * 20)))


def test_a_home_without_a_stack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MarketError, match=r"\./market up once"):
        locate(settings(tmp_path), "local")


def test_the_units_belong_to_the_owner_of_the_home_and_use_that_users_cache(tmp_path: Path) -> None:
    (tmp_path / "secrets.env").touch()
    own = locate(settings(tmp_path), "local", {"MARKET_CACHE": "/srv/cache", "PATH": ""})
    assert (own.user, own.cache) == (pwd.getpwuid(os.geteuid()).pw_name, Path("/srv/cache"))
    assert own.system == (os.geteuid() == 0)
    if os.geteuid() == 0:
        other = pwd.getpwnam("nobody")
        os.chown(tmp_path, other.pw_uid, -1)
        theirs = locate(settings(tmp_path), "local", {"XDG_CACHE_HOME": "/root/.cache", "PATH": ""})
        assert theirs.user == other.pw_name
        assert theirs.cache == Path(other.pw_dir, ".cache", "trading-data-dashboard")


def test_containers_without_docker_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MarketError, match="Docker was not found"):
        locate(settings(tmp_path), "compose", {"PATH": str(tmp_path)})


def test_nothing_is_installed_beside_the_internal_scheduler(tmp_path: Path) -> None:
    with pytest.raises(MarketError, match="MARKET_SCHEDULER was internal"):
        install(settings(tmp_path, "internal"), LOCAL, tmp_path / "units", None, print)
    assert not (tmp_path / "units").exists()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    for folder in ("run", "logs", "tmp"):
        (tmp_path / folder).mkdir()
    yield tmp_path
    if Supervisor(tmp_path).pid() is not None:
        Supervisor(tmp_path).shutdown()


@pytest.mark.parametrize(("scheduler", "refused"), [("internal", True), ("systemd", False)])
def test_a_running_stack_with_its_own_scheduler_is_refused(home: Path, scheduler: str, refused: bool) -> None:
    started = settings(home, scheduler)
    start_supervisor(
        started, supervised_services(started), "none", Installed(Path("/jvm"), Path("/jars"), Path("/env"))
    )
    if refused:
        with pytest.raises(MarketError, match="internal scheduler"):
            check_stack(home)
    else:
        check_stack(home)


@pytest.mark.parametrize("site", [LOCAL, COMPOSE], ids=lambda site: site.kind)
def test_units_come_and_go_and_without_systemd_they_are_only_written(site: Site, tmp_path: Path) -> None:
    folder, said = tmp_path / "some" / "units", list[str]()
    for _ in range(2):
        install(settings(tmp_path), site, folder, None, said.append)
        assert {file.name: file.read_text() for file in folder.iterdir()} == render(site)
    assert said[-1] == "systemd is not running: the units were only written."
    (folder / "other.service").touch()
    (folder / "gbm-analysis.timer").symlink_to(folder / "market-gbm-analysis.timer")
    (folder / "timers.target.wants").mkdir()
    (folder / "timers.target.wants" / "market-collector.timer").symlink_to("../market-collector.timer")
    (folder / "timers.target.wants" / "other.service").symlink_to("../other.service")
    uninstall(folder, None, said.append)
    left = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir())
    assert left == ["other.service", "timers.target.wants/other.service"]
    uninstall(folder, None, said.append)
    assert said[-1] == "No units were installed."


@pytest.mark.parametrize(("first", "second"), [(LOCAL, COMPOSE), (COMPOSE, LOCAL)])
def test_units_of_both_kinds_do_not_mix(first: Site, second: Site, tmp_path: Path) -> None:
    install(settings(tmp_path), first, tmp_path, None, print)
    with pytest.raises(MarketError, match="uninstall first"):
        install(settings(tmp_path), second, tmp_path, None, print)
    assert set(installed_units(tmp_path)) == unit_names(first.kind)


def test_the_collector_finds_the_folder_of_its_lock(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    for _ in range(2):
        install(
            settings(tmp_path), replace(LOCAL, cache=cache, system=False), tmp_path / "units", None, print
        )
    [folder] = cache.iterdir()
    assert f'"-{folder}"' in render(replace(LOCAL, cache=cache))["market-collector.service"]
    assert (folder.stat().st_mode & 0o777, folder.owner()) == (0o700, cache.owner())


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "units").touch()
    with pytest.raises(MarketError, match="could not be written"):
        install(settings(tmp_path), LOCAL, tmp_path / "units", None, print)


def test_the_command_refuses_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MARKET_HOME", str(tmp_path))
    assert main(["systemd", "install"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert "Traceback" not in said.err
