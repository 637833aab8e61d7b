"""Settings that every service shares, read from the environment, `.env` and the generated secrets."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parents[3]

Feed = Literal["live", "demo", "none"]


class LocalOnly:
    """Marks a setting that no container is given: there it always has its default."""


@dataclass(frozen=True)
class ListeningPort(LocalOnly):
    """Marks a port of this machine; a movable one is used by the stack only, so that any free one does."""

    movable: bool = False


Port = Annotated[int, Field(ge=1, le=65535), ListeningPort()]
MovablePort = Annotated[int, Field(ge=1, le=65535), ListeningPort(movable=True)]


class SettingsError(Exception):
    """Say in one sentence which setting is wrong and what it should be."""


def market_home() -> Path:
    """Return the folder that holds all state: `MARKET_HOME`, or `.market` beside the code."""
    return Path(os.environ.get("MARKET_HOME") or ROOT / ".market").absolute()


def secrets_file() -> Path:
    """Return the file with the generated passwords: `MARKET_SECRETS`, or `secrets.env` in the home."""
    return Path(os.environ.get("MARKET_SECRETS") or market_home() / "secrets.env")


class Settings(BaseSettings):
    """Base of every service's settings: frozen, the environment first, then the secrets, then `.env`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_file_encoding="utf-8", env_ignore_empty=True
    )

    market_home: Path = Field(default_factory=market_home)

    @classmethod
    def load(cls) -> Self:
        """Read the settings; raise SettingsError with one sentence when a value cannot be used."""
        try:
            return cls(_env_file=(ROOT / ".env", secrets_file()))  # type: ignore[call-arg]
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]).upper() if first["loc"] else "a setting"
            raise SettingsError(
                f"The setting {name} was wrong: {first['msg']}. Fix it in .env or the environment."
            ) from None


class KafkaSettings(Settings):
    """Where Kafka is, and what the topics are called."""

    kafka_server: str = "127.0.0.1"
    kafka_port: Port = 9092
    kafka_topic_name: str = Field(default="market", pattern=r"^[A-Za-z0-9._-]{1,200}$")

    @property
    def bootstrap_servers(self) -> str:
        """Return `host:port`."""
        return f"{self.kafka_server}:{self.kafka_port}"

    @property
    def dead_letter_topic(self) -> str:
        """Return the topic of what could not be read."""
        return f"{self.kafka_topic_name}.dead-letter"

    @property
    def events_topic(self) -> str:
        """Return the topic of the feed's events."""
        return f"{self.kafka_topic_name}.events"


class FeedSettings(Settings):
    """Which feed is received from, and where the feed service is."""

    finnhub_api_token: SecretStr | None = None
    market_feed: Feed | None = None
    feed_host: str = "127.0.0.1"
    feed_port: MovablePort = 8765

    @property
    def feed(self) -> Feed:
        """Return the configured feed, else live with a token, else the demo."""
        return self.market_feed or ("live" if self.finnhub_api_token else "demo")


class CassandraSettings(Settings):
    """Where Cassandra is."""

    cassandra_host: str = "127.0.0.1"
    cassandra_port: Port = 9042


class LogSettings(Settings):
    """How the project's own services write their logs."""

    market_log_format: Literal["text", "json"] = "text"


class WatchPortSettings(Settings):
    """Where the watch answers."""

    watch_metrics_port: MovablePort = 9106


class MetricsSettings(WatchPortSettings):
    """Where services serve their figures to a monitoring system."""

    metrics_listen: str = "127.0.0.1"
    collector_metrics_port: MovablePort = 9101
    stream_processor_metrics_port: MovablePort = 9102
    gbm_analysis_metrics_port: MovablePort = 9103
    kafka_metrics_port: MovablePort = 9104
    cassandra_metrics_port: MovablePort = 9105


__all__ = [
    "ROOT",
    "CassandraSettings",
    "Feed",
    "FeedSettings",
    "KafkaSettings",
    "ListeningPort",
    "LocalOnly",
    "LogSettings",
    "MetricsSettings",
    "MovablePort",
    "Port",
    "SecretStr",
    "Settings",
    "SettingsError",
    "WatchPortSettings",
    "market_home",
]
