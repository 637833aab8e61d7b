from confluent_kafka.admin import AclOperation, ResourcePatternType, ResourceType

from kafka_topics.settings import KafkaTopicsSettings
from kafka_topics.topics import acls, topics

USERS = ("admin", "collector", "stream_processor", "streamlit", "ops")
PASSWORDS = {f"kafka_{user}_password": "secret" for user in USERS}


def settings(**values: str | int) -> KafkaTopicsSettings:
    return KafkaTopicsSettings.model_validate({**PASSWORDS, **values})


def rights(user: str) -> set[tuple[str, AclOperation]]:
    return {
        (acl.name, acl.operation)
        for acl in acls(settings(kafka_topic_name="base"))
        if acl.principal == f"User:{user}" and acl.restype == ResourceType.TOPIC
    }


def test_topics_take_their_names_from_the_setting() -> None:
    found = topics(settings(kafka_topic_name="base"))

    assert {topic.name: topic.partitions for topic in found} == {
        "base": 3,
        "base.dead-letter": 1,
        "base.events": 1,
    }


def test_retention_follows_the_settings() -> None:
    for topic in topics(settings(kafka_retention_hours=2, kafka_retention_bytes=-1)):
        assert topic.config["retention.ms"] == "7200000"
        assert topic.config["retention.bytes"] == "-1"
        assert topic.config["max.message.bytes"] == "8388608"


def test_each_user_may_do_what_its_station_does() -> None:
    everything = {"base", "base.dead-letter", "base.events"}

    assert rights("collector") == {(name, AclOperation.WRITE) for name in everything}
    assert rights("streamlit") == {(name, AclOperation.READ) for name in everything}
    assert rights("stream-processor") == {
        ("base", AclOperation.READ),
        ("base.events", AclOperation.READ),
        ("base.dead-letter", AclOperation.WRITE),
    }


def test_topics_are_named_exactly() -> None:
    for acl in acls(settings()):
        if acl.restype == ResourceType.TOPIC:
            assert acl.resource_pattern_type == ResourcePatternType.LITERAL
