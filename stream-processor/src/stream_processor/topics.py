"""Whether the checkpoints are there, whole, and of the topics of now.

A topic that was lost and made anew begins at offset 0, below those in the checkpoints, and Spark would skip
its messages until it has passed them. So the checkpoints go, and every query starts from the beginning, as
does one whose checkpoint is lost. To read a topic again changes no row.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from common.files import replace_text
from common.kafka import BARS_GROUP, EVENTS_GROUP, TRADES_GROUP, client_config
from stream_processor.offsets import OFFSET_LOG_VERSION, Progress
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
        self._events = settings.events_topic
        self._admin = AdminClient(self._login)

    def ids(self) -> TopicIds:
        """Return the ids that Kafka gave to the topics when it made them; raise KafkaException."""
        topics = TopicCollection([self._trades, self._events])
        described = self._admin.describe_topics(topics, request_timeout=ANSWER_SECONDS)
        return {name: str(topic.result().topic_id) for name, topic in described.items()}

    def prepare_checkpoints(self, checkpoints: Path) -> TopicIds:
        """Remove the checkpoints that cannot be used; return the topics' ids.

        Raises KafkaException when Kafka does not answer.
        """
        ids = self.ids()
        if is_stale(checkpoints, ids):
            log.warning("A topic was made anew: all topics are read from their beginning.")
            shutil.rmtree(checkpoints)
        for query, group, topic in (
            ("trades", TRADES_GROUP, self._trades),
            ("bars", BARS_GROUP, self._trades),
            ("events", EVENTS_GROUP, self._events),
        ):
            if not is_whole(checkpoints / query):
                shutil.rmtree(checkpoints / query, ignore_errors=True)
                self._start_again(query, group, topic)
        write_ids(checkpoints, ids)
        return ids

    def _start_again(self, query: str, group: str, topic: str) -> None:
        """Tell Kafka that nothing is stored, so that bars wait for their trades again."""
        progress = Progress(self._login, group)
        progress.restore(topic)
        if any(progress.reached.values()):
            log.warning(
                "The checkpoint of the query %s was missing or damaged: the topic %s is read again from its "
                "beginning, which changes no row.",
                query,
                topic,
            )
            progress.commit(dict.fromkeys(progress.reached, 0))


def is_whole(checkpoint: Path) -> bool:
    """Return whether Spark can go on from a query's checkpoint: what it wrote last is there and complete.

    After a power cut a file may be empty.
    """
    try:
        json.loads((checkpoint / "metadata").read_bytes())
        if any(path.stat().st_size == 0 for path in checkpoint.glob("sources/*/*")):
            return False
        for log_name in ("offsets", "commits"):
            batches = [path for path in (checkpoint / log_name).glob("*") if path.name.isdecimal()]
            # Spark begins with the newest batch, or with the one before where that was not finished.
            for newest in sorted(batches, key=lambda path: int(path.name))[-2:]:
                version, *lines = newest.read_text(encoding="utf-8").splitlines()
                if version != OFFSET_LOG_VERSION or not [json.loads(line) for line in lines]:
                    return False
    except (OSError, ValueError):
        return False
    return True


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
