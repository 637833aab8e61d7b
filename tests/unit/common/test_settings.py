"""Where settings come from, and which are taken."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from common.settings import (
    ROOT,
    CassandraSettings,
    FeedSettings,
    KafkaSettings,
    ListeningPort,
    SettingsError,
    market_home,
    secrets_file,
)


@pytest.fixture(autouse=True)
def home(bare_environment: Path) -> Path:
    """Return an empty home; nothing else is set."""
    return bare_environment


def test_the_home_is_beside_the_code_or_where_it_is_said_to_be(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert KafkaSettings().market_home == market_home() == home
    assert secrets_file() == home / "secrets.env"
    monkeypatch.setenv("MARKET_SECRETS", "/run/secrets/market")
    assert secrets_file() == Path("/run/secrets/market")
    monkeypatch.delenv("MARKET_HOME")
    assert market_home() == ROOT / ".market"
    monkeypatch.setenv("MARKET_HOME", "somewhere")
    assert market_home() == Path.cwd() / "somewhere"


def test_the_environment_wins_over_the_secrets_and_an_empty_value_is_none(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "secrets.env").write_text("KAFKA_SERVER=of-secrets\nFEED_HOST=of-secrets\nUNKNOWN=1\n")
    assert KafkaSettings.load().kafka_server == "of-secrets"
    monkeypatch.setenv("KAFKA_SERVER", "of-environment")
    monkeypatch.setenv("FEED_HOST", "")
    assert KafkaSettings.load().kafka_server == "of-environment"
    assert FeedSettings.load().feed_host == "of-secrets"


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        KafkaSettings().kafka_port = 1


@pytest.mark.parametrize("value", ["0", "65536", "many"])
def test_a_wrong_value_is_one_sentence_that_names_its_setting(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASSANDRA_PORT", value)
    with pytest.raises(SettingsError, match=r"^The setting CASSANDRA_PORT was wrong: .*\. Fix it in \.env"):
        CassandraSettings.load()


@pytest.mark.parametrize(
    ("settings", "name", "is_movable"),
    [(FeedSettings, "feed_port", True), (KafkaSettings, "kafka_port", False)],
)
def test_a_port_that_only_the_stack_uses_is_movable(
    settings: type[KafkaSettings | FeedSettings], name: str, is_movable: bool
) -> None:
    metadata = settings.model_fields[name].metadata
    assert [mark.movable for mark in metadata if isinstance(mark, ListeningPort)] == [is_movable]


@pytest.mark.parametrize("settings", [KafkaSettings, CassandraSettings, FeedSettings])
@pytest.mark.parametrize("port", [1, 65_535])
def test_every_port_of_a_machine_can_be_used(
    settings: type[KafkaSettings | CassandraSettings | FeedSettings], port: int
) -> None:
    [name] = [name for name in settings.model_fields if name.endswith("_port")]
    assert getattr(settings.model_validate({name: port}), name) == port
    for wrong in (port - 1, port + 1):
        if not 0 < wrong < 65_536:
            with pytest.raises(ValidationError):
                settings.model_validate({name: wrong})


@pytest.mark.parametrize(
    ("name", "is_taken"),
    [
        ("m", True),
        ("Market_2.live-a", True),
        ("m" * 200, True),
        ("m" * 201, False),
        ("", False),
        ("a b", False),
    ],
)
def test_a_topic_has_a_name_that_kafka_takes_with_its_endings(name: str, is_taken: bool) -> None:
    if is_taken:
        found = KafkaSettings(kafka_topic_name=name)
        assert found.dead_letter_topic == f"{name}.dead-letter"
        assert found.events_topic == f"{name}.events"
        assert len(found.dead_letter_topic) < 250, "Kafka's limit"
    else:
        with pytest.raises(ValidationError):
            KafkaSettings(kafka_topic_name=name)


def test_the_address_of_kafka() -> None:
    assert KafkaSettings(kafka_server="kafka", kafka_port=1234).bootstrap_servers == "kafka:1234"
