"""Which settings of the topics are taken."""

import pytest
from pydantic import ValidationError

from kafka_topics.settings import KafkaTopicsSettings

USERS = ("admin", "collector", "stream_processor", "streamlit", "ops")
PASSWORDS = {f"kafka_{user}_password": "secret" for user in USERS}


@pytest.mark.parametrize(("name", "least"), [("kafka_retention_hours", 1), ("kafka_retention_bytes", -1)])
def test_retention_has_a_lower_bound(name: str, least: int) -> None:
    KafkaTopicsSettings.model_validate({**PASSWORDS, name: least})
    with pytest.raises(ValidationError, match=name):
        KafkaTopicsSettings.model_validate({**PASSWORDS, name: least - 1})
