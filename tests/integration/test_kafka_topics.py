"""Kafka's topics and the rights of its users, on a running stack."""

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    ResourceType,
)
from pydantic import SecretStr

from common.hangs import Silence
from common.kafka import client_config
from kafka_topics.server import prepare, wait_for_broker
from kafka_topics.settings import KafkaTopicsSettings
from kafka_topics.topics import acls, topics
from ops.inspection import probes
from ops.settings import OpsSettings
from stack import Stack

SECONDS = 30
DENIED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
USERS = ["collector", "stream-processor", "streamlit", "ops"]


@pytest.fixture
def settings(stack: Stack) -> KafkaTopicsSettings:
    return KafkaTopicsSettings.load()


def login(settings: KafkaTopicsSettings, user: str) -> dict[str, str | int]:
    password: SecretStr = getattr(settings, f"kafka_{user.replace('-', '_')}_password")
    return {**client_config(settings, user, password), "log_level": 0}


def produce(settings: KafkaTopicsSettings, user: str, topic: str) -> KafkaError | None:
    """Return why a message was refused."""
    reports: list[KafkaError | None] = []
    producer = Producer({**login(settings, user), "message.timeout.ms": SECONDS * 1000})
    producer.produce(topic, b"test", on_delivery=lambda error, _: reports.append(error))
    producer.flush(SECONDS)
    (error,) = reports
    return error


def read(settings: KafkaTopicsSettings, user: str, topic: str) -> KafkaError | None:
    """Return why reading a topic's first partition was refused."""
    consumer = Consumer(
        {
            **login(settings, user),
            "group.id": f"{user}.test",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "latest",
        }
    )
    try:
        consumer.assign([TopicPartition(topic, 0)])
        message = consumer.poll(SECONDS)
    finally:
        consumer.close()
    assert message is not None
    error: KafkaError | None = message.error()
    return None if error is None or error.code() == KafkaError._PARTITION_EOF else error


def commit(settings: KafkaTopicsSettings, user: str, group: str) -> KafkaError | None:
    """Return why committing a group's position in the trades was refused."""
    position = ConsumerGroupTopicPartitions(group, [TopicPartition(settings.kafka_topic_name, 0, 0)])
    admin = AdminClient(login(settings, user))
    (done,) = admin.alter_consumer_group_offsets([position], request_timeout=SECONDS).values()
    try:
        (partition,) = done.result(2 * SECONDS).topic_partitions
    except KafkaException as refusal:
        refused: KafkaError = refusal.args[0]
        return refused
    error: KafkaError | None = partition.error
    return error


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("suffix", ["", ".dead-letter", ".events"])
def test_only_the_stations_that_read_may_read(settings: KafkaTopicsSettings, user: str, suffix: str) -> None:
    may = user in ("streamlit", "ops") or (user == "stream-processor" and suffix != ".dead-letter")
    error = read(settings, user, settings.kafka_topic_name + suffix)

    assert error is None if may else error is not None and error.code() in DENIED


@pytest.mark.parametrize(
    ("user", "suffix"),
    [
        ("streamlit", ""),
        ("streamlit", ".dead-letter"),
        ("streamlit", ".events"),
        ("ops", ""),
        ("ops", ".dead-letter"),
        ("ops", ".events"),
        ("stream-processor", ""),
        ("stream-processor", ".events"),
    ],
)
def test_others_may_not_write(settings: KafkaTopicsSettings, user: str, suffix: str) -> None:
    error = produce(settings, user, settings.kafka_topic_name + suffix)

    assert error is not None and error.code() in DENIED


def test_the_stream_processor_commits_its_own_groups_only(settings: KafkaTopicsSettings) -> None:
    assert commit(settings, "stream-processor", "stream-processor.test") is None
    refused = commit(settings, "stream-processor", "streamlit.test")
    assert refused is not None and refused.code() in DENIED
    refused = commit(settings, "streamlit", "stream-processor.trades")
    assert refused is not None and refused.code() in DENIED


@pytest.mark.parametrize("user", ["admin", *USERS])
def test_a_wrong_password_is_refused(settings: KafkaTopicsSettings, user: str) -> None:
    seen: list[int] = []
    wrong = {**login(settings, user), "sasl.password": "wrong", "error_cb": lambda e: seen.append(e.code())}
    client = AdminClient(wrong)

    with pytest.raises(KafkaException):
        client.list_topics(timeout=5)
    client.poll(0)

    assert KafkaError._AUTHENTICATION in seen


def test_a_probe_takes_a_refused_password_as_an_answer(settings: KafkaTopicsSettings) -> None:
    reader = OpsSettings.load()
    assert probes.kafka(reader, 0) is None
    reason = probes.kafka(reader.model_copy(update={"kafka_ops_password": SecretStr("wrong")}), 0)
    assert reason == "it refused the password"
    assert not isinstance(reason, Silence)


def test_a_client_without_a_login_is_refused(settings: KafkaTopicsSettings) -> None:
    client = AdminClient({"bootstrap.servers": settings.bootstrap_servers, "log_level": 0})

    with pytest.raises(KafkaException):
        client.list_topics(timeout=5)


def test_the_topics_are_as_the_settings_say(settings: KafkaTopicsSettings) -> None:
    admin = AdminClient(login(settings, "admin"))
    present = admin.list_topics(timeout=SECONDS).topics

    for topic in topics(settings):
        assert len(present[topic.name].partitions) == topic.partitions
        resource = ConfigResource(ResourceType.TOPIC, topic.name)
        entries = admin.describe_configs([resource])[resource].result(SECONDS)
        assert {name: entries[name].value for name in topic.config} == topic.config


def test_preparing_again_changes_nothing(settings: KafkaTopicsSettings) -> None:
    assert prepare(settings) == []


def test_a_right_that_is_not_in_the_list_is_taken(settings: KafkaTopicsSettings) -> None:
    [extra] = [right for right in acls(settings) if right.principal == "User:collector"][:1]
    extra = AclBinding(
        extra.restype,
        extra.name,
        extra.resource_pattern_type,
        "User:streamlit",
        "*",
        AclOperation.WRITE,
        AclPermissionType.ALLOW,
    )
    admin = AdminClient(login(settings, "admin"))
    admin.create_acls([extra])[extra].result(SECONDS)
    assert prepare(settings) == [f"took WRITE of TOPIC {extra.name} from User:streamlit"]
    error = produce(settings, "streamlit", extra.name)
    assert error is not None and error.code() in DENIED
    assert prepare(settings) == []


def test_a_new_password_of_the_admin_is_set_by_the_one_before(settings: KafkaTopicsSettings) -> None:
    old, new = settings.kafka_admin_password, SecretStr("of0the0next")
    for password, before in ((new, old), (old, new)):
        changed = settings.model_copy(
            update={"kafka_admin_password": password, "kafka_admin_password_before": before}
        )
        # The second time it is there already, as for who was interrupted.
        for _ in range(2):
            wait_for_broker(changed)
        wait_for_broker(changed.model_copy(update={"kafka_admin_password_before": None}))
