"""The settings of the `market` command, and how `.env` reaches the services."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from dotenv.parser import parse_stream
from pydantic import Field, SecretStr

from common.settings import (
    ROOT,
    CassandraSettings,
    FeedSettings,
    KafkaSettings,
    LocalOnly,
    LogSettings,
    MetricsSettings,
    MovablePort,
    Port,
)
from ops.errors import MarketError

ENV_FILE = ROOT / ".env"
TOKEN = "FINNHUB_API_TOKEN"  # noqa: S105
ALERTS = "MARKET_ALERTS"
SECRETS_OF_USERS = {TOKEN: "collector", ALERTS: "watch"}
"""Settings that hold secrets, each with the only service that is given it."""


class OpsSettings(KafkaSettings, CassandraSettings, FeedSettings, LogSettings):
    """Who starts what, how much is kept in the logs, and the settings of servers that have no class."""

    market_scheduler: Literal["internal", "systemd"] = "internal"
    market_healing: float = Field(default=1.0, ge=0)
    market_monitoring: Annotated[Literal["on", "off"], LocalOnly()] = "off"
    prometheus_port: MovablePort = 9090
    alertmanager_port: MovablePort = 9107
    market_log_megabytes: int = Field(default=20, ge=1)
    market_log_files: int = Field(default=3, ge=0)
    backup_journal_days: int = Field(default=7, ge=0)
    cassandra_jmx_port: MovablePort = 7199
    presto_host: str = "127.0.0.1"
    presto_port: Port = 8080
    superset_port: Port = 8088
    superset_public_url: str | None = Field(default=None, pattern=r"^https://[^\s/]+/?$")
    superset_home: Annotated[Path | None, LocalOnly()] = None
    kafka_ops_password: SecretStr = SecretStr("")
    cassandra_admin_password: SecretStr = SecretStr("")
    cassandra_ops_password: SecretStr = SecretStr("")


class WatchSettings(OpsSettings, MetricsSettings):
    """How often the watch looks, where it finds the services, and whom it tells.

    `{service}` in the hosts stands for a service's name.
    """

    market_alerts: SecretStr | None = None
    watch_every_seconds: float = Field(default=60, ge=1, le=3600)
    watch_hosts: str = "127.0.0.1"


def read_env_file(path: Path) -> dict[str, str]:
    """Return the settings of a `.env` file; raise MarketError with the line that is not `NAME=value`."""
    values: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for binding in parse_stream(lines):
                if binding.error or (binding.key is not None and binding.value is None):
                    broken = binding.original
                    line = binding.original.line + broken.string[
                        : len(broken.string) - len(broken.string.lstrip())
                    ].count("\n")
                    raise MarketError(
                        f"Line {line} of {path} was not NAME=value; fix it or put a # before it."
                    )
                if binding.key is not None and binding.value is not None:
                    values[binding.key] = binding.value
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise MarketError(f"{path} could not be read: {error}.") from None
    return values


def adopt_env_file(path: Path = ENV_FILE) -> None:
    """Put the settings of `.env` where every service finds them; secrets stay in the file."""
    for name, value in read_env_file(path).items():
        if name not in SECRETS_OF_USERS and value and not os.environ.get(name):
            os.environ[name] = value


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of what all homes and clones share; the same as in the `market` script."""
    base = environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(environ.get("MARKET_CACHE") or Path(base) / "trading-data-dashboard").absolute()
