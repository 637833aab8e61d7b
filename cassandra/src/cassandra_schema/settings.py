"""How long the tables keep their rows, how often they are stored, and the passwords of the roles."""

from pydantic import Field, SecretStr

from common.settings import CassandraSettings, MovablePort

LONGEST_TTL_DAYS = 7300  # Cassandra takes no more than 20 years


class CassandraSchemaSettings(CassandraSettings):
    """A time to live of 0 days keeps rows for ever."""

    cassandra_storage_port: MovablePort = 7000
    cassandra_replication: int = Field(default=1, ge=1)
    cassandra_trades_ttl_days: int = Field(default=30, ge=0, le=LONGEST_TTL_DAYS)
    cassandra_bars_ttl_days: int = Field(default=365, ge=0, le=LONGEST_TTL_DAYS)
    cassandra_forecasts_ttl_days: int = Field(default=365, ge=0, le=LONGEST_TTL_DAYS)
    cassandra_admin_password: SecretStr
    cassandra_admin_password_before: SecretStr | None = None
    cassandra_stream_processor_password: SecretStr
    cassandra_gbm_analysis_password: SecretStr
    cassandra_presto_password: SecretStr
    cassandra_streamlit_password: SecretStr
    cassandra_ops_password: SecretStr
