"""Settings of the Streamlit pages."""

from pydantic import Field, SecretStr

from common.settings import CassandraSettings


class StreamlitSettings(CassandraSettings):
    """Where the pages read, and where they are served."""

    cassandra_streamlit_password: SecretStr
    streamlit_port: int = Field(default=8501, ge=1, le=65535)
