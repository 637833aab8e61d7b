"""Which topics there are, and who may do what; pure."""

from dataclasses import dataclass

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from common.settings import KafkaSettings
from kafka_topics.settings import KafkaTopicsSettings

MAX_MESSAGE_BYTES = 8 * 1024**2
SEGMENT_BYTES = 128 * 1024**2


@dataclass(frozen=True)
class Topic:
    """A topic as it should be."""

    name: str
    partitions: int
    config: dict[str, str]


def topics(settings: KafkaTopicsSettings) -> list[Topic]:
    """Return the topics of trades, dead letters and feed events."""
    config = {
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "retention.bytes": str(settings.kafka_retention_bytes),
        "retention.ms": str(settings.kafka_retention_hours * 3_600_000),
        "segment.bytes": str(SEGMENT_BYTES),
    }
    return [
        Topic(settings.kafka_topic_name, 3, config),
        Topic(settings.dead_letter_topic, 1, config),
        Topic(settings.events_topic, 1, config),
    ]


def acls(settings: KafkaSettings) -> list[AclBinding]:
    """Return what each user may do; the admin may do everything without one."""
    trades, events = settings.kafka_topic_name, settings.events_topic
    dead_letters = settings.dead_letter_topic
    read, write, describe = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE
    return [
        *(_topic("collector", name, write) for name in (trades, dead_letters, events)),
        *(_topic("stream-processor", name, read) for name in (trades, events)),
        _topic("stream-processor", dead_letters, write),
        _groups("stream-processor", "stream-processor", read),
        _groups("stream-processor", "spark-kafka", read),
        *(_topic("streamlit", name, read) for name in (trades, dead_letters, events)),
        _groups("streamlit", "streamlit", read),
        _groups("streamlit", "stream-processor", describe),
        *(_topic("ops", name, read) for name in (trades, dead_letters, events)),
        _groups("ops", "ops", read),
        _groups("ops", "stream-processor", describe),
    ]


def _topic(user: str, name: str, operation: AclOperation) -> AclBinding:
    return _acl(user, ResourceType.TOPIC, name, ResourcePatternType.LITERAL, operation)


def _groups(user: str, prefix: str, operation: AclOperation) -> AclBinding:
    return _acl(user, ResourceType.GROUP, prefix, ResourcePatternType.PREFIXED, operation)


def _acl(
    user: str, kind: ResourceType, name: str, pattern: ResourcePatternType, operation: AclOperation
) -> AclBinding:
    return AclBinding(kind, name, pattern, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
