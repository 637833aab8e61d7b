"""New passwords under a running stack."""

from collections.abc import Sequence

from ops.errors import MarketError
from ops.install.secrets import FILE, LASTING, NAMES, SEEN, replace, share
from ops.lifecycle.services import supervised_services
from ops.lifecycle.stack import (
    exclusive_lock,
    forget_old_passwords,
    is_supervised,
    start_services,
    stop_in_order,
)
from ops.lifecycle.supervision import secrets_folder
from ops.report import Report
from ops.settings import OpsSettings


def rotate(settings: OpsSettings, wanted: Sequence[str], report: Report) -> None:
    """Give passwords new values, all by default, and start anew whoever sees them.

    The servers take new passwords at their start, so that what is interrupted is finished by the next one.
    """
    names = wanted or [name for name in NAMES if name not in LASTING]
    check(names)
    home = settings.market_home
    file = home / FILE
    if not file.exists():
        raise MarketError(f"There was no stack in {home} yet: ./market up makes the passwords.")
    with exclusive_lock(home, report):
        replace(file, names)
        if not is_supervised(home):
            report("The passwords are new; ./market up starts the servers with them.")
            return
        share(file, secrets_folder(home))
        services = supervised_services(settings)
        concerned = [service for service in services if set(SEEN[service.name]) & set(names)]
        stop_in_order(home, concerned, report)
        start_services(OpsSettings.load(), services, report)
        forget_old_passwords(home)
    report(f"{len(names)} passwords are new.")
    if settings.market_scheduler == "systemd":
        report("Restart what systemd has started: systemctl restart market-collector.")


def check(names: Sequence[str]) -> None:
    """Expect names of passwords that can be replaced."""
    for name in names:
        if name in LASTING:
            raise MarketError(f"{name} cannot be replaced: Superset has encrypted by it what it stored.")
        if name not in NAMES:
            raise MarketError(f"There was no password {name!r}; there are {', '.join(NAMES)}.")
