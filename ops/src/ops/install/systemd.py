"""systemd units: rendered from their templates, installed and removed."""

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal

from common.settings import ROOT
from ops.errors import MarketError
from ops.install.dependencies import find_java
from ops.install.secrets import FILE
from ops.lifecycle.services import HANG_SECONDS, SERVICES, STOP_SECONDS
from ops.lifecycle.supervision import Supervisor, socket_file
from ops.settings import OpsSettings, cache_folder

TEMPLATES = ROOT / "ops" / "systemd"
BOOTED = Path("/run/systemd/system")
SYSTEM_FOLDER = Path("/etc/systemd/system")
UNWRITABLE = re.compile(r"""[\x00-\x1f\x7f"'\\$]|^\s|\s$""")
PRIVATE_FOLDERS = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108

# The time limits of the units, for the stack of either kind.
LIMITS = {
    # The first start in containers builds the images.
    "STACK_START_LIMIT": "30min",
    # Services stop one after the other where they depend on each other, and each has up to a minute.
    "STACK_STOP_LIMIT": "5min",
    # So long has each step of a local stop, where a service takes seconds: a process that lost its supervisor
    # may not end by itself (Streamlit does not, once nobody reads what it prints).
    "LOCAL_STOP_LIMIT": "2min",
    # A start that failed three times within an hour needs somebody to look.
    "STACK_TRIES": "3",
    "STACK_RETRY_SPAN": "1h",
    "STACK_RETRY_PAUSE": "30s",
    # Many times what a forecast takes, and over well before the next full hour.
    "FORECAST_LIMIT": "10min",
    "BACKUP_LIMIT": "50min",
    # A server that is being started again answers within minutes; the tries end before the next full hour.
    "JOB_TRIES": "5",
    "JOB_RETRY_SPAN": "30min",
    "JOB_RETRY_PAUSE": "2min",
    # Signs of life come every few seconds, on a busy machine every half a minute.
    "HANG_LIMIT": f"{HANG_SECONDS}s",
    "COLLECTOR_STOP_LIMIT": f"{STOP_SECONDS}s",
}

Kind = Literal["local", "compose"]
Report = Callable[[str], None]


@dataclass(frozen=True)
class Site:
    """What the units are about, whose it is, and whether the system or that user runs them."""

    kind: Kind
    system: bool
    user: str
    root: Path
    home: Path
    cache: Path
    java_home: Path | None
    docker: Path | None

    @property
    def folders(self) -> tuple[Path, ...]:
        """Return every path that the units name."""
        return tuple(path for path in (self.root, self.home, self.cache, self.java_home, self.docker) if path)


def locate(settings: OpsSettings, kind: Kind, environ: Mapping[str, str] = os.environ) -> Site:
    """Return where this stack is and whose; raise MarketError when this user cannot have units for it."""
    home = settings.market_home.absolute()
    if kind == "local" and not (home / FILE).exists():
        raise MarketError(
            f"There was no stack in {home} yet: run ./market up once, as the units may not install anything."
        )
    owned = home if kind == "local" else ROOT
    try:
        owner = pwd.getpwuid(owned.stat().st_uid)
    except KeyError:
        raise MarketError(f"{owned} belonged to no known user: give it to one.") from None
    uid = os.geteuid()
    if uid not in (0, owner.pw_uid):
        raise MarketError(f"{owned} belonged to {owner.pw_name}: run this as that user, or as root.")
    docker = shutil.which("docker", path=environ.get("PATH")) if kind == "compose" else None
    if kind == "compose" and docker is None:
        raise MarketError("Docker was not found: install it, or leave out --compose.")
    theirs = environ if uid == owner.pw_uid else {**environ, "XDG_CACHE_HOME": f"{owner.pw_dir}/.cache"}
    return Site(
        kind=kind,
        system=uid == 0,
        user=owner.pw_name,
        root=ROOT,
        home=home,
        cache=cache_folder(theirs),
        java_home=find_java(environ) if kind == "local" else None,
        docker=Path(docker) if docker else None,
    )


def check_site(site: Site) -> None:
    """Expect paths that can stand in a unit and that its sandbox shows."""
    for folder in site.folders:
        if UNWRITABLE.search(str(folder)):
            raise MarketError(
                f"The path {str(folder)!r} could not stand in a unit: "
                "move it to one without quotes, backslashes, dollar signs and control characters."
            )
        if site.system and any(folder.is_relative_to(private) for private in PRIVATE_FOLDERS):
            raise MarketError(
                f"{folder} was in a folder of temporary files, which the units do not see: move it."
            )
    if site.kind == "local" and not socket_file(site.home).is_relative_to(site.home):
        raise MarketError(
            f"The path of {site.home} was too long for the units: name a shorter one in MARKET_HOME."
        )


def check_scheduler(settings: OpsSettings) -> None:
    """Expect settings that leave the collector and the forecast to systemd."""
    if settings.market_scheduler != "systemd":
        raise MarketError(
            "MARKET_SCHEDULER was internal: set it to systemd in .env first, so that nothing runs twice."
        )


def check_stack(home: Path) -> None:
    """Expect no running stack that starts the collector and the forecast itself."""
    supervisor = Supervisor(home)
    if supervisor.pid() is None:
        return
    running = supervisor.processes()
    if any(service.name in running for service in SERVICES if service.scheduled):
        raise MarketError(
            "The running stack was started with its internal scheduler: stop it with ./market down first."
        )


def escape(value: object) -> str:
    """Return a value as it stands in a unit."""
    return str(value).replace("%", "%%")


def environment(site: Site) -> str:
    """Return the lines that set what the units' programs cannot know otherwise; never the token."""
    values: dict[str, object] = {"MARKET_SCHEDULER": "systemd"}
    if site.kind == "local":
        values |= {"MARKET_HOME": site.home, "MARKET_CACHE": site.cache}
    if site.java_home:
        values["JAVA_HOME"] = site.java_home
    return "\n".join(f'Environment="{name}={escape(value)}"' for name, value in values.items())


def render(site: Site) -> dict[str, str]:
    """Return the text of every unit by its name."""
    values = {
        **LIMITS,
        "USER": site.user,
        "ROOT": escape(site.root),
        "HOME_FOLDER": escape(site.home),
        "LOCKS": escape(site.cache / "locks"),
        "DOCKER": escape(site.docker),
        "TARGET": "multi-user.target" if site.system else "default.target",
        "ENVIRONMENT": environment(site),
    }
    sandbox = [TEMPLATES / "sandbox.common", *([TEMPLATES / "sandbox.system"] if site.system else [])]
    values["SANDBOX"] = "".join(Template(part.read_text()).substitute(values) for part in sandbox).rstrip()
    return {
        file.name.removesuffix(".in"): Template(file.read_text()).substitute(values)
        for file in templates(site.kind)
    }


def templates(kind: Kind) -> list[Path]:
    """Return the templates of a kind of stack; the timers are those of both."""
    return sorted([*TEMPLATES.glob("*.timer"), *(TEMPLATES / kind).glob("*.service.in")])


def unit_names(kind: Kind) -> set[str]:
    """Return the names of the units of a kind of stack."""
    return {file.name.removesuffix(".in") for file in templates(kind)}


def installed_units(folder: Path) -> list[str]:
    """Return which of the units are in a folder; the timers come first, as they start the others."""
    found = {name for name in unit_names("local") | unit_names("compose") if (folder / name).exists()}
    return sorted(found, key=lambda name: (not name.endswith(".timer"), name))


def links(folder: Path, names: Collection[str]) -> list[Path]:
    """Return the links by which systemd finds units: under other names, and among what a target wants."""
    return sorted(path for path in folder.rglob("*") if path.is_symlink() and path.readlink().name in names)


def unit_folder() -> Path:
    """Return where this user's units belong."""
    if os.geteuid() == 0:
        return SYSTEM_FOLDER
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()) / "systemd" / "user"


def find_systemctl() -> tuple[str, ...] | None:
    """Return the command that speaks to this user's systemd, or None where it is not running."""
    if os.geteuid() == 0:
        return ("systemctl",) if BOOTED.is_dir() else None
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}")
    return ("systemctl", "--user") if (runtime / "systemd").is_dir() else None


def call(systemctl: Sequence[str], *arguments: str) -> None:
    """Tell systemd to do something; raise MarketError with its own words when it did not."""
    result = subprocess.run([*systemctl, *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        output = " ".join(result.stderr.split())[-300:].rstrip(".")
        raise MarketError(f"{' '.join([*systemctl, *arguments])} failed: {output}.")


def install(
    settings: OpsSettings, site: Site, folder: Path, systemctl: Sequence[str] | None, report: Report
) -> None:
    """Write the units and, where systemd is running, start the timers."""
    check_scheduler(settings)
    check_site(site)
    if site.kind == "local":
        check_stack(site.home)
    foreign = [name for name in installed_units(folder) if name not in unit_names(site.kind)]
    if foreign:
        raise MarketError(
            f"{folder} held {foreign[0]} of another kind of stack: run ./market systemd uninstall first."
        )
    units = render(site)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in units.items():
            (folder / name).write_text(text)
        make_locks(site.cache)
    except OSError as error:
        raise MarketError(f"The units could not be written: {error}.") from None
    report(f"Wrote {', '.join(units)} to {folder}.")
    if site.system:
        report(f"They run as {site.user}.")
    if systemctl is None:
        report("systemd is not running: the units were only written.")
        return
    timers = [name for name in units if name.endswith(".timer")]
    stack = next(name for name, text in units.items() if "[Install]" in text and name not in timers)
    call(systemctl, "daemon-reload")
    call(systemctl, "enable", stack)
    call(systemctl, "enable", "--now", *timers)
    report(
        f"The timers run; {stack} starts at the next boot, or now with {' '.join(systemctl)} start {stack}."
    )


def make_locks(cache: Path) -> None:
    """Create the folder of locks in a cache, for the cache's owner; raise OSError.

    A unit may write to it only where it exists when the unit starts.
    """
    locks = cache / "locks"
    if cache.exists() and not locks.exists():
        locks.mkdir(mode=0o700)
        os.chown(locks, cache.stat().st_uid, cache.stat().st_gid)


def uninstall(folder: Path, systemctl: Sequence[str] | None, report: Report) -> None:
    """Stop and remove the units."""
    found = installed_units(folder)
    if not found:
        report("No units were installed.")
        return
    if systemctl is not None:
        call(systemctl, "disable", "--now", *found)
    try:
        for file in (*links(folder, found), *(folder / name for name in found)):
            file.unlink()
    except OSError as error:
        raise MarketError(f"The units could not be removed: {error}.") from None
    if systemctl is not None:
        call(systemctl, "daemon-reload")
        # Of those that never failed, systemd says that it does not know them.
        subprocess.run([*systemctl, "reset-failed", *found], capture_output=True, check=False)
    report(f"Removed {', '.join(found)} from {folder}.")
