"""How clients log in to Kafka, and what its errors mean."""

from confluent_kafka import KafkaError, KafkaException
from pydantic import SecretStr

from common.settings import KafkaSettings

# The consumer groups whose offsets say which trades the stream processor has stored, which are in bars, and
# which of the feed's events are stored.
TRADES_GROUP = "stream-processor.trades"
BARS_GROUP = "stream-processor.bars"
EVENTS_GROUP = "stream-processor.events"

_MISTAKES = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)


def is_transient(error: KafkaException) -> bool:
    """Return whether Kafka does not answer for now; a login or right that is missing is a mistake."""
    return error.args[0].code() not in _MISTAKES


def client_config(settings: KafkaSettings, username: str, password: SecretStr) -> dict[str, str | int]:
    """Return the librdkafka settings for a SCRAM login."""
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": username,
        "sasl.password": password.get_secret_value(),
    }
