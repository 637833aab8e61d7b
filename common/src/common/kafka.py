"""How clients log in to Kafka."""

from pydantic import SecretStr

from common.settings import KafkaSettings


def client_config(settings: KafkaSettings, username: str, password: SecretStr) -> dict[str, str | int]:
    """Return the librdkafka settings for a SCRAM login."""
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": username,
        "sasl.password": password.get_secret_value(),
    }
