"""What the preparation of Kafka says when it cannot begin."""

import pytest

from kafka_topics import server
from kafka_topics.settings import KafkaTopicsSettings
from stack import free_ports

USERS = ("admin", "collector", "stream_processor", "streamlit", "ops")


def test_a_broker_that_does_not_answer_is_named_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    [port] = free_ports(1)
    monkeypatch.setattr(server, "START_SECONDS", 0.3)
    passwords = {f"kafka_{user}_password": "secret" for user in USERS}
    settings = KafkaTopicsSettings.model_validate(
        {**passwords, "kafka_server": "127.0.0.1", "kafka_port": port}
    )
    with pytest.raises(server.KafkaTopicsError, match=f"Kafka did not answer at 127.0.0.1:{port} in"):
        server.prepare(settings)
