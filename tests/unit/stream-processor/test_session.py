"""How Spark logs in, without starting it."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from common.settings import ROOT
from stream_processor.session import kafka_options, start_session
from stream_processor.settings import StreamProcessorSettings


@pytest.fixture
def settings(tmp_path: Path) -> StreamProcessorSettings:
    return StreamProcessorSettings(
        market_home=tmp_path,
        market_jars=tmp_path,
        kafka_server="broker",
        kafka_port=19_092,
        kafka_stream_processor_password=SecretStr("a secret"),
        cassandra_stream_processor_password=SecretStr("another"),
    )


def test_spark_logs_in_to_kafka_as_the_stream_processor(settings: StreamProcessorSettings) -> None:
    options = kafka_options(settings)
    assert options["kafka.bootstrap.servers"] == "broker:19092"
    assert options["kafka.sasl.mechanism"] == "SCRAM-SHA-512"
    assert 'username="stream-processor" password="a secret";' in options["kafka.sasl.jaas.config"]


def test_a_missing_jar_is_named(settings: StreamProcessorSettings, tmp_path: Path) -> None:
    names = [line.split()[1] for line in (ROOT / "stream-processor" / "jars.sha256").read_text().splitlines()]
    folder = tmp_path / "stream-processor"
    folder.mkdir()
    for name in names:
        if not name.startswith("spark-cassandra-connector_"):
            (folder / name).touch()
    said = rf"^The jar spark-cassandra-connector_\S+\.jar was missing in {folder}: ./market up installs it\.$"
    with pytest.raises(FileNotFoundError, match=said):
        start_session(settings)


def test_the_checkpoints_are_in_the_home_unless_they_are_shared(
    settings: StreamProcessorSettings, tmp_path: Path
) -> None:
    assert settings.checkpoints == tmp_path / "data" / "stream-processor" / "checkpoints"
    shared = settings.model_copy(update={"spark_checkpoints": Path("/shared")})
    assert shared.checkpoints == Path("/shared")
