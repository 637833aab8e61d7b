"""Bring Kafka's users, rights and topics up to date: `python -m kafka_topics`."""

import sys

from common.settings import SettingsError
from kafka_topics.server import KafkaTopicsError, prepare
from kafka_topics.settings import KafkaTopicsSettings


def main() -> int:
    try:
        for change in prepare(KafkaTopicsSettings.load()):
            print(f"kafka_topics: {change}", flush=True)
    except (SettingsError, KafkaTopicsError) as error:
        print(error, file=sys.stderr)
        return 1
    print("kafka_topics: users, rights and topics were up to date", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
