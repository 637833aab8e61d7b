"""What was refused, why, and where its frame is in the journal."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition

from ops.clients import kafka_config
from ops.errors import MarketError
from ops.settings import OpsSettings

# A broker on this machine answers in milliseconds; one that starts takes some seconds.
ANSWER_SECONDS = 15.0
# Long enough for some million letters, of which few are of the symbol that is asked for.
SEARCH_SECONDS = 60.0
CHUNK_MESSAGES = 2_000
CONTENT_CHARACTERS = 60


class DeadLetter(NamedTuple):
    """One refused trade, or frame; what is unknown is None.

    `journal` is the file that holds its frame, in `line`, as long as it is kept; `position` is the trade's
    place in the frame.
    """

    at: str
    symbol: str | None
    reason: str
    trades: int
    frame: str | None
    journal: str | None
    line: int | None
    position: int | None
    trade_id: str | None
    content: str


def dead_letters(settings: OpsSettings, symbol: str | None, limit: int) -> list[DeadLetter]:
    """Return the newest dead letters, newest first, each once however often it was sent.

    Raises MarketError when Kafka does not answer in time, or was never there.
    """
    if not settings.kafka_ops_password.get_secret_value():
        raise MarketError(f"No stack was ever started in {settings.market_home}: start one with ./market up.")
    topic = settings.dead_letter_topic
    consumer = Consumer(
        {
            **kafka_config(settings),
            "group.id": "ops.dead-letters",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
        }
    )
    found: dict[tuple[Any, ...], DeadLetter] = {}
    deadline = time.monotonic() + SEARCH_SECONDS
    try:
        for number in consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic].partitions:
            for message in _newest_first(consumer, TopicPartition(topic, number), deadline):
                letter = parse(message, settings.market_home / "journal")
                if symbol is None or letter.symbol == symbol:
                    found.setdefault((letter.frame, letter.position, letter.trade_id, letter.content), letter)
                if len(found) >= limit:
                    break
    except KafkaException:
        raise MarketError(
            f"Kafka did not answer at {settings.bootstrap_servers} within {ANSWER_SECONDS:.0f} s; "
            "see ./market status, or start it with ./market up."
        ) from None
    finally:
        consumer.close()
    return list(found.values())


def parse(message: Any, journals: Path) -> DeadLetter:
    """Read a message of the dead-letter topic, whoever sent it."""
    headers = {name: (value or b"").decode("utf-8", "replace") for name, value in message.headers() or []}
    content = (message.value() or b"").decode("utf-8", "backslashreplace")
    frame = headers.get("frame")
    journal, _, line = (frame or "").partition(":")
    key = message.key()
    return DeadLetter(
        at=datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC).isoformat(timespec="milliseconds"),
        symbol=key.decode("utf-8", "replace") if key else _symbol(content),
        reason=headers.get("reason", "no reason was given"),
        trades=_number(headers.get("trades")) or 1,
        frame=frame,
        journal=_journal_file(journals, journal),
        line=_number(line),
        position=_number(headers.get("position")),
        trade_id=headers.get("trade_id"),
        content=content,
    )


def text(letters: list[DeadLetter]) -> str:
    """Return dead letters as a table for people."""
    from ops.inspection.query import table

    if not letters:
        return "There were no dead letters."
    return table(
        [
            {
                "time": letter.at,
                "symbol": letter.symbol,
                "reason": letter.reason,
                "frame": f"{letter.journal or 'no longer kept'}:{letter.line}" if letter.frame else None,
                "content": letter.content[:CONTENT_CHARACTERS],
            }
            for letter in letters
        ]
    )


def _newest_first(consumer: Consumer, partition: TopicPartition, deadline: float) -> Iterator[Any]:
    """Yield a partition's messages from its end backwards, chunk by chunk."""
    low, high = consumer.get_watermark_offsets(partition, timeout=ANSWER_SECONDS)
    while high > low:
        start = max(low, high - CHUNK_MESSAGES)
        consumer.assign([TopicPartition(partition.topic, partition.partition, start)])
        chunk: list[Any] = []
        while not chunk or chunk[-1].offset() < high - 1:
            messages = consumer.consume(high - start - len(chunk), timeout=1.0)
            chunk += [message for message in messages if message.error() is None]
            if time.monotonic() > deadline:
                raise MarketError(
                    f"The dead letters could not be searched within {SEARCH_SECONDS:.0f} s; "
                    "ask for fewer with --limit."
                )
        yield from reversed(chunk)
        high = start


def _journal_file(journals: Path, journal: str) -> str | None:
    for suffix in (".jsonl", ".jsonl.gz"):
        path = journals / f"{journal}{suffix}"
        if journal and path.exists():
            return str(path)
    return None


def _symbol(content: str) -> str | None:
    try:
        trade = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    symbol = trade.get("s") if isinstance(trade, dict) else None
    return symbol if isinstance(symbol, str) else None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else None
