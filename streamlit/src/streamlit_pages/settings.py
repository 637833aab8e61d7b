"""Settings of the Streamlit pages."""

from pydantic import SecretStr

from common.settings import CassandraSettings, Port


class StreamlitSettings(CassandraSettings):
    """Where the pages read, and where they are served."""

    cassandra_streamlit_password: SecretStr
    streamlit_port: Port = 8501
