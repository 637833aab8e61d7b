"""Whether the topics are still those that the checkpoints were made from.

A topic that was lost and made anew begins at offset 0, below those in the checkpoints, and Spark would skip
its messages until it has passed them. So the checkpoints go, and every query starts from the beginning.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from common.files import replace_text
from common.kafka import BARS_GROUP, TRADES_GROUP, client_config
from stream_processor.offsets import Progress
from stream_processor.settings import StreamProcessorSettings

# A broker that runs answers at once; a longer wait ends in an error, and the supervisor tries again.
ANSWER_SECONDS = 30.0

log = logging.getLogger("stream_processor")

TopicIds = dict[str, str]


class Topics:
    """The topics of trades and of events, as Kafka has them now."""

    def __init__(self, settings: StreamProcessorSettings) -> None:
        self._login = client_config(
            settings, settings.kafka_username, settings.kafka_stream_processor_password
        )
        self._trades = settings.kafka_topic_name
        self._names = [settings.kafka_topic_name, settings.events_topic]
        self._admin = AdminClient(self._login)

    def ids(self) -> TopicIds:
        """Return the ids that Kafka gave to the topics when it made them; raise KafkaException."""
        topics = TopicCollection(self._names)
        described = self._admin.describe_topics(topics, request_timeout=ANSWER_SECONDS)
        return {name: str(topic.result().topic_id) for name, topic in described.items()}

    def discard_stale_checkpoints(self, checkpoints: Path) -> TopicIds:
        """Remove the checkpoints when they are of other topics than those of now; return the ids of these."""
        ids = self.ids()
        if is_stale(checkpoints, ids):
            log.warning("A topic was made anew: all topics are read from their beginning.")
            self._reset_progress()
            shutil.rmtree(checkpoints)
        write_ids(checkpoints, ids)
        return ids

    def _reset_progress(self) -> None:
        """Tell Kafka that nothing is stored; it forgets the offsets of a topic that goes, but not at once."""
        partitions = self._admin.list_topics(self._trades, ANSWER_SECONDS).topics[self._trades].partitions
        start = {(self._trades, partition): 0 for partition in partitions}
        for group in (TRADES_GROUP, BARS_GROUP):
            Progress(self._login, group).commit(start)


def is_stale(checkpoints: Path, ids: Mapping[str, str]) -> bool:
    """Return whether checkpoints are of other topics; when nothing says of which, they are taken as good.

    A file that cannot be read, as after a power cut, is stale: reading everything again changes no row.
    """
    try:
        return bool(json.loads(_file(checkpoints).read_bytes()) != ids)
    except FileNotFoundError:
        return False
    except ValueError:
        return True


def write_ids(checkpoints: Path, ids: Mapping[str, str]) -> None:
    """Keep beside the checkpoints which topics they are of."""
    checkpoints.mkdir(parents=True, exist_ok=True)
    replace_text(_file(checkpoints), json.dumps(ids))


def _file(checkpoints: Path) -> Path:
    return checkpoints / "topics.json"
