import pytest
from confluent_kafka import KafkaError, KafkaException

from common.kafka import is_transient


@pytest.mark.parametrize(
    ("code", "transient"),
    [
        (KafkaError._ALL_BROKERS_DOWN, True),
        (KafkaError._TRANSPORT, True),
        (KafkaError._TIMED_OUT, True),
        (KafkaError.COORDINATOR_NOT_AVAILABLE, True),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, False),
        (KafkaError.SASL_AUTHENTICATION_FAILED, False),
        (KafkaError._AUTHENTICATION, False),
    ],
)
def test_what_does_not_answer_is_told_from_a_mistake(code: int, transient: bool) -> None:
    assert is_transient(KafkaException(KafkaError(code))) == transient
