"""The stream processor's settings."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr

from common.settings import CassandraSettings, KafkaSettings, MetricsSettings, Port
from common.spark import SparkSettings


class StreamProcessorSettings(SparkSettings, KafkaSettings, CassandraSettings, MetricsSettings):
    """Where to read, where to write, and how much at once."""

    kafka_username: ClassVar[str] = "stream-processor"
    kafka_stream_processor_password: SecretStr
    cassandra_username: ClassVar[str] = "stream_processor"
    cassandra_stream_processor_password: SecretStr
    spark_driver_memory: str = Field(default="768m", pattern=r"^\d+[kmg]$")
    spark_ui_port: Port = 4040
    market_jars: Path
    spark_checkpoints: Path | None = None
    spark_max_messages_per_batch: int = Field(default=20_000, ge=1)

    @property
    def checkpoints(self) -> Path:
        """Return the folder of the checkpoints; with several machines it must be shared by them."""
        return self.spark_checkpoints or self.market_home / "data" / "stream-processor" / "checkpoints"
