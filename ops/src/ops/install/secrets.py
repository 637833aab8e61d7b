"""The generated passwords, and the files by which each service sees its own only.

`python -m ops.install.secrets FOLDER` makes what is missing, for containers.
"""

import os
import secrets
import string
import sys
from collections.abc import Mapping
from pathlib import Path

from ops.lifecycle.services import SERVICES
from ops.settings import read_env_file

NAMES = tuple(name for service in SERVICES for name in service.passwords)
# What each service may see; the master and the workers of a Spark cluster are a service in containers only.
SEEN = {service.name: (*service.passwords, *service.reads) for service in SERVICES} | {
    "spark": ("SPARK_SECRET_KEY",)
}
FILE = "secrets.env"
LENGTH = 32
ALPHABET = string.ascii_letters + string.digits


def ensure_secrets(path: Path) -> None:
    """Give every name a value, keeping those that are there; the file is readable by its owner only."""
    kept = read_env_file(path)
    missing = [name for name in NAMES if not kept.get(name)]
    if missing:
        new = {name: "".join(secrets.choice(ALPHABET) for _ in range(LENGTH)) for name in missing}
        write(path, kept | new)
    path.chmod(0o600)


def write(path: Path, values: Mapping[str, str]) -> None:
    """Replace a file of passwords in one step."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in values.items())
    temporary.replace(path)


def service_file(folder: Path, service: str) -> Path:
    """Return where a service finds the passwords that it may see."""
    return folder / service / FILE


def share(path: Path, folder: Path) -> None:
    """Give every service a file of its own with what it may see of a file of passwords."""
    values = read_env_file(path)
    for service, names in SEEN.items():
        write(service_file(folder, service), {name: values[name] for name in names})


if __name__ == "__main__":
    ensure_secrets(Path(sys.argv[1]) / FILE)
    share(Path(sys.argv[1]) / FILE, Path(sys.argv[1]))
