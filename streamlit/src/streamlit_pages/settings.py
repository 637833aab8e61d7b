"""Settings of the Streamlit pages."""

from pydantic import SecretStr

from common.settings import CassandraSettings, KafkaSettings, Port, WatchPortSettings


class StreamlitSettings(CassandraSettings, KafkaSettings, WatchPortSettings):
    """Where the pages read, and where they are served."""

    cassandra_streamlit_password: SecretStr
    kafka_streamlit_password: SecretStr
    watch_host: str = "127.0.0.1"
    streamlit_port: Port = 8501
