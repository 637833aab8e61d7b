"""The stream processor's Spark session, for the tests of transformations that need no server."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from pyspark.sql import SparkSession

from ops.install.dependencies import ensure_jars, ensure_java
from ops.settings import cache_folder
from stack import free_ports
from stream_processor.session import start_session
from stream_processor.settings import StreamProcessorSettings

PASSWORD = "secret-of-the-tests"


@pytest.fixture(scope="session")
def spark_settings(tmp_path_factory: pytest.TempPathFactory) -> StreamProcessorSettings:
    """Return settings with the project's jars; neither Kafka nor Cassandra is asked."""
    password = SecretStr(PASSWORD)
    return StreamProcessorSettings(
        market_home=tmp_path_factory.mktemp("spark"),
        market_jars=ensure_jars(cache_folder(), ensure_java(print), print),
        kafka_stream_processor_password=password,
        cassandra_stream_processor_password=password,
        spark_master="local[2]",
        spark_ui_port=free_ports(1)[0],
    )


@pytest.fixture(scope="session")
def spark(spark_settings: StreamProcessorSettings) -> Iterator[SparkSession]:
    """Start Spark within this process."""
    session = start_session(spark_settings)
    yield session
    session.stop()
