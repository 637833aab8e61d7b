"""What the topics keep, and the passwords of their users."""

from pydantic import Field, SecretStr

from common.settings import KafkaSettings, MovablePort


class KafkaTopicsSettings(KafkaSettings):
    """Retention counts for each partition; -1 bytes means no limit."""

    kafka_controller_port: MovablePort = 9093
    kafka_retention_hours: int = Field(default=72, ge=1)
    kafka_retention_bytes: int = Field(default=2 * 1024**3, ge=-1)
    kafka_admin_password: SecretStr
    kafka_admin_password_before: SecretStr | None = None
    kafka_collector_password: SecretStr
    kafka_stream_processor_password: SecretStr
    kafka_streamlit_password: SecretStr
    kafka_ops_password: SecretStr
