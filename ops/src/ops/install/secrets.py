"""The generated passwords, and the files by which each service sees its own only.

`python -m ops.install.secrets FOLDER` makes what is missing, for containers.
"""

import os
import secrets
import string
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from ops.lifecycle.services import ALL_SERVICES, SERVICES
from ops.settings import read_env_file

NAMES = tuple(name for service in SERVICES for name in service.passwords)
# What each service may see; the master and the workers of a Spark cluster are a service in containers only.
SEEN = {service.name: (*service.passwords, *service.reads) for service in ALL_SERVICES} | {
    "spark": ("SPARK_SECRET_KEY",)
}
# The servers keep these themselves, and take a new one from who has the old.
ADMINS = ("KAFKA_ADMIN_PASSWORD", "CASSANDRA_ADMIN_PASSWORD")
BEFORE = "_BEFORE"
# Superset has encrypted what it stored by this one.
LASTING = ("SUPERSET_SECRET_KEY",)
FILE = "secrets.env"
LENGTH = 32
ALPHABET = string.ascii_letters + string.digits


def ensure_secrets(path: Path) -> None:
    """Give every name a value, keeping those that are there; the file is readable by its owner only."""
    kept = read_env_file(path)
    missing = [name for name in NAMES if not kept.get(name)]
    if missing:
        write(path, kept | new_values(missing))
    path.chmod(0o600)


def write(path: Path, values: Mapping[str, str]) -> None:
    """Replace a file of passwords in one step."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in values.items())
    temporary.replace(path)


def replace(path: Path, names: Collection[str]) -> None:
    """Give names new values; what a server needs to take a new one is kept beside it.

    Where that was never finished, the new value stays: the server knows this one or the one before.
    """
    values = read_env_file(path)
    left = {name for name in ADMINS if f"{name}{BEFORE}" in values}
    kept = {f"{name}{BEFORE}": values[name] for name in names if name in ADMINS and name not in left}
    write(path, values | kept | new_values(name for name in names if name not in left))


def forget(path: Path) -> None:
    """Remove the old values that were kept."""
    values = read_env_file(path)
    lasting = {name: value for name, value in values.items() if not name.endswith(BEFORE)}
    if lasting != values:
        write(path, lasting)


def new_values(names: Iterable[str]) -> dict[str, str]:
    """Return random values."""
    return {name: "".join(secrets.choice(ALPHABET) for _ in range(LENGTH)) for name in names}


def service_file(folder: Path, service: str) -> Path:
    """Return where a service finds the passwords that it may see."""
    return folder / service / FILE


def share(path: Path, folder: Path) -> None:
    """Give every service a file of its own with what it may see of a file of passwords."""
    values = read_env_file(path)
    for service, names in SEEN.items():
        seen = (*names, *(f"{name}{BEFORE}" for name in names))
        write(service_file(folder, service), {name: values[name] for name in seen if name in values})


if __name__ == "__main__":
    ensure_secrets(Path(sys.argv[1]) / FILE)
    share(Path(sys.argv[1]) / FILE, Path(sys.argv[1]))
