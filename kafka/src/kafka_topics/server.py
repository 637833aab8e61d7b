"""Bring a running Kafka to what `topics` says."""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from pydantic import SecretStr

from common.kafka import client_config
from kafka_topics.settings import KafkaTopicsSettings
from kafka_topics.topics import Topic, acls, topics

START_SECONDS = 120.0
REFUSED_SECONDS = 15.0
REQUEST_SECONDS = 30.0
EVERY_RIGHT = AclBindingFilter(
    ResourceType.ANY,
    None,
    ResourcePatternType.ANY,
    None,
    None,
    AclOperation.ANY,
    AclPermissionType.ANY,
)
SCRAM = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)


class KafkaTopicsError(Exception):
    """Say in one sentence what Kafka did not do."""


class RefusedError(KafkaTopicsError):
    """Say that Kafka refused the admin's password."""


def prepare(settings: KafkaTopicsSettings) -> list[str]:
    """Wait for the broker, then bring users, rights and topics up to date; return what was changed.

    The topics come last, so that whoever sees them finds the rest in place. Raises KafkaTopicsError.
    """
    admin = wait_for_broker(settings)
    try:
        set_passwords(admin, settings)
        rights = set_rights(admin, acls(settings))
        present = admin.list_topics(timeout=REQUEST_SECONDS).topics
        wanted = topics(settings)
        # A new topic has its configuration, and for a moment the broker does not know it by that.
        return [
            *rights,
            *create_topics(admin, [topic for topic in wanted if topic.name not in present]),
            *alter_topics(admin, [topic for topic in wanted if topic.name in present]),
        ]
    except KafkaException as error:
        raise KafkaTopicsError(f"Kafka could not be prepared: {error.args[0].str()}.") from None


def wait_for_broker(settings: KafkaTopicsSettings) -> AdminClient:
    """Return a client that has logged in as admin; raise KafkaTopicsError when that takes too long.

    A new password of the admin is set by the one before, where the broker still has that. A broker that has
    just started refuses every login for a moment.
    """
    new, before = settings.kafka_admin_password, settings.kafka_admin_password_before
    deadline = time.monotonic() + START_SECONDS
    refused_until = float("inf")
    while True:
        for password in (new, *([before] if before else [])):
            try:
                admin = log_in(settings, password, deadline)
            except RefusedError:
                refused_until = min(refused_until, time.monotonic() + REFUSED_SECONDS)
                if time.monotonic() > refused_until:
                    raise
                continue
            if password is new:
                return admin
            change_passwords(admin, {"admin": new})


def log_in(settings: KafkaTopicsSettings, password: SecretStr, deadline: float) -> AdminClient:
    """Return a client of the admin; raise RefusedError when its password is refused."""
    refused = threading.Event()

    def note(error: KafkaError) -> None:
        if error.code() == KafkaError._AUTHENTICATION:
            refused.set()

    admin = AdminClient(
        {
            **client_config(settings, "admin", password),
            "error_cb": note,
            "log_level": 0,
            "reconnect.backoff.ms": 100,
            "reconnect.backoff.max.ms": 250,
        }
    )
    while time.monotonic() < deadline:
        try:
            admin.list_topics(timeout=1)
            return admin
        except KafkaException:
            admin.poll(0)
        if refused.is_set():
            raise RefusedError(
                "Kafka refused the admin's password: its data was made with another secrets.env; "
                "bring that file back, or remove the data."
            )
    raise KafkaTopicsError(f"Kafka did not answer at {settings.bootstrap_servers} in {START_SECONDS:.0f} s.")


def set_passwords(admin: AdminClient, settings: KafkaTopicsSettings) -> None:
    """Give every client's user the password of the settings."""
    passwords: dict[str, SecretStr] = {
        "collector": settings.kafka_collector_password,
        "stream-processor": settings.kafka_stream_processor_password,
        "streamlit": settings.kafka_streamlit_password,
        "ops": settings.kafka_ops_password,
    }
    change_passwords(admin, passwords)


def change_passwords(admin: AdminClient, passwords: Mapping[str, SecretStr]) -> None:
    """Give users their passwords; raise KafkaException."""
    _finish(
        admin.alter_user_scram_credentials(
            [
                UserScramCredentialUpsertion(user, SCRAM, password.get_secret_value().encode())
                for user, password in passwords.items()
            ],
            request_timeout=REQUEST_SECONDS,
        )
    )


def set_rights(admin: AdminClient, wanted: list[AclBinding]) -> list[str]:
    """Give the wanted rights and take all others; return those that were taken."""
    _finish(admin.create_acls(wanted, request_timeout=REQUEST_SECONDS))
    present = admin.describe_acls(EVERY_RIGHT, request_timeout=REQUEST_SECONDS).result()
    others = [right for right in present if right not in wanted]
    filters = [
        AclBindingFilter(
            right.restype,
            right.name,
            right.resource_pattern_type,
            right.principal,
            right.host,
            right.operation,
            right.permission_type,
        )
        for right in others
    ]
    if filters:
        _finish(admin.delete_acls(filters, request_timeout=REQUEST_SECONDS))
    return [
        f"took {right.operation.name} of {right.restype.name} {right.name} from {right.principal}"
        for right in others
    ]


def create_topics(admin: AdminClient, missing: list[Topic]) -> list[str]:
    """Create topics; return their names."""
    if missing:
        new = [NewTopic(topic.name, topic.partitions, config=topic.config) for topic in missing]
        _finish(admin.create_topics(new, operation_timeout=REQUEST_SECONDS))
    return [f"created topic {topic.name}" for topic in missing]


def alter_topics(admin: AdminClient, wanted: list[Topic]) -> list[str]:
    """Set the configuration of topics where it differs; return what was set."""
    resources = [ConfigResource(ResourceType.TOPIC, topic.name) for topic in wanted]
    present = admin.describe_configs(resources, request_timeout=REQUEST_SECONDS) if resources else {}
    changes = {}
    for topic, resource in zip(wanted, resources, strict=True):
        entries = present[resource].result()
        differing = {name: value for name, value in topic.config.items() if entries[name].value != value}
        if differing:
            changes[topic.name] = differing
    if changes:
        _finish(
            admin.incremental_alter_configs(
                [
                    ConfigResource(
                        ResourceType.TOPIC,
                        name,
                        incremental_configs=[
                            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                            for key, value in config.items()
                        ],
                    )
                    for name, config in changes.items()
                ],
                request_timeout=REQUEST_SECONDS,
            )
        )
    return [f"set {config} on {name}" for name, config in changes.items()]


def _finish(futures: Mapping[Any, Future[Any]]) -> None:
    for future in futures.values():
        future.result(timeout=2 * REQUEST_SECONDS)
