"""Settings of the Streamlit pages."""

from pydantic import SecretStr

from common.settings import CassandraSettings, KafkaSettings, Port


class StreamlitSettings(CassandraSettings, KafkaSettings):
    """Where the pages read, and where they are served."""

    cassandra_streamlit_password: SecretStr
    kafka_streamlit_password: SecretStr
    streamlit_port: Port = 8501
