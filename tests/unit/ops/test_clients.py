import pytest
from cassandra import InvalidRequest

from ops.clients import cassandra_error, cassandra_session, kafka_config
from ops.errors import MarketError
from ops.settings import OpsSettings
from stack import free_ports


def test_a_cassandra_that_is_not_there_is_a_sentence_with_its_address() -> None:
    port = free_ports(1)[0]
    sentence = rf"^Cassandra did not answer at 127\.0\.0\.1:{port}; see \./market status"
    with pytest.raises(MarketError, match=sentence), cassandra_session(OpsSettings(cassandra_port=port)):
        pass


def test_a_mistake_is_no_server_that_does_not_answer() -> None:
    error = cassandra_error(InvalidRequest("table candles does not exist"), OpsSettings())
    assert str(error) == "Cassandra refused a request: InvalidRequest: table candles does not exist."


def test_kafka_is_logged_in_to_as_a_reader_and_logs_nothing_itself() -> None:
    config = kafka_config(OpsSettings(kafka_port=1234, kafka_ops_password="x"))
    assert config["bootstrap.servers"] == "127.0.0.1:1234"
    assert (config["sasl.username"], config["sasl.password"], config["log_level"]) == ("ops", "x", 0)
