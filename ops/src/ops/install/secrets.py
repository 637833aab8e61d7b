"""The generated passwords: `python -m ops.install.secrets FILE` makes those that are missing."""

import os
import secrets
import string
import sys
from pathlib import Path

from ops.lifecycle.services import SERVICES
from ops.settings import read_env_file

NAMES = tuple(name for service in SERVICES for name in service.passwords)
LENGTH = 32
ALPHABET = string.ascii_letters + string.digits


def ensure_secrets(path: Path) -> None:
    """Give every name a value, keeping those that are there; the file is readable by its owner only."""
    kept = read_env_file(path)
    missing = [name for name in NAMES if not kept.get(name)]
    if missing:
        values = kept | {name: "".join(secrets.choice(ALPHABET) for _ in range(LENGTH)) for name in missing}
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.writelines(f"{name}={value}\n" for name, value in values.items())
        temporary.replace(path)
    path.chmod(0o600)


if __name__ == "__main__":
    ensure_secrets(Path(sys.argv[1]))
