"""Kafka alone, in a home and on ports of its own."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from pydantic import SecretStr

from benchmarks.figures import Report
from benchmarks.processes import running_process
from benchmarks.stack import free_ports
from common.kafka import client_config
from common.settings import ROOT
from ops.inspection import probes
from ops.install.dependencies import ensure_jars, ensure_java
from ops.install.secrets import ensure_secrets
from ops.settings import OpsSettings, cache_folder, read_env_file

# The JVM needs 5 s on an idle machine.
START_SECONDS = 120.0
ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Kafka:
    """A running Kafka; `environ` leads its clients there."""

    settings: OpsSettings
    admin_password: SecretStr
    environ: dict[str, str]

    @property
    def login(self) -> dict[str, Any]:
        """Return the admin's client configuration."""
        return client_config(self.settings, "admin", self.admin_password)

    def consumer(self) -> Consumer:
        """Return a consumer that has joined nothing."""
        return Consumer({**self.login, "group.id": "benchmark", "enable.auto.commit": False})

    def ends(self, consumer: Consumer, topic: str = "") -> dict[int, int]:
        """Return the offset behind the last message of each partition, of the topic of trades by default."""
        topic = topic or self.settings.kafka_topic_name
        partitions = consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic].partitions
        return {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=ANSWER_SECONDS)[1]
            for number in partitions
        }

    def read(self, consumer: Consumer, starts: dict[int, int], count: int) -> list[Any]:
        """Return `count` messages of the topic of trades from some offsets on."""
        topic = self.settings.kafka_topic_name
        consumer.assign([TopicPartition(topic, number, start) for number, start in starts.items()])
        found: list[Any] = []
        while len(found) < count:
            found += consumer.consume(count - len(found), timeout=1.0)
        return found

    def stamp_on_arrival(self) -> None:
        """Let the broker stamp messages when it appends them."""
        resource = ConfigResource(
            ResourceType.TOPIC,
            self.settings.kafka_topic_name,
            incremental_configs=[
                ConfigEntry(
                    "message.timestamp.type",
                    "LogAppendTime",
                    incremental_operation=AlterConfigOpType.SET,
                )
            ],
        )
        admin = AdminClient(self.login)
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(ANSWER_SECONDS)


@contextmanager
def running_kafka(report: Report) -> Iterator[Kafka]:
    """Start Kafka with its topics, and stop and remove it at the end."""
    java = ensure_java(report)
    jars = ensure_jars(cache_folder(), java, report)
    with tempfile.TemporaryDirectory(prefix="market-benchmark-") as folder:
        port, controller = free_ports(2)
        secrets = Path(folder) / "secrets.env"
        ensure_secrets(secrets)
        passwords = read_env_file(secrets)
        environ = {
            **os.environ,
            **passwords,
            "MARKET_HOME": folder,
            "MARKET_JARS": str(jars),
            "MARKET_PYTHON": sys.executable,
            "JAVA_HOME": str(java),
            "KAFKA_PORT": str(port),
            "KAFKA_CONTROLLER_PORT": str(controller),
            "TZ": "UTC",
        }
        settings = OpsSettings(
            market_home=Path(folder),
            kafka_port=port,
            kafka_ops_password=SecretStr(passwords["KAFKA_OPS_PASSWORD"]),
        )
        report("Starting Kafka ...")
        with running_process(
            "Kafka",
            [ROOT / "kafka" / "entrypoint.sh"],
            environ,
            lambda pid: probes.kafka(settings, pid),
            START_SECONDS,
        ):
            yield Kafka(settings, SecretStr(passwords["KAFKA_ADMIN_PASSWORD"]), environ)
