"""Dead letters: what was refused, why, and where its frame is in the journal."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from confluent_kafka import Consumer, TopicPartition

CHUNK_MESSAGES = 2_000


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


def newest_dead_letters(
    consumer: Consumer,
    topic: str,
    journals: Path,
    *,
    symbol: str | None,
    limit: int,
    answer: float,
    search: float,
) -> list[DeadLetter]:
    """Return the newest dead letters, newest first, each once however often it was sent.

    Kafka has `answer` seconds for each request, the search takes `search` seconds at most. Raises
    KafkaException when Kafka does not answer, TimeoutError when the search is not done in time.
    """
    found: dict[tuple[Any, ...], DeadLetter] = {}
    deadline = time.monotonic() + search
    for number in consumer.list_topics(topic, timeout=answer).topics[topic].partitions:
        for message in newest_first(consumer, TopicPartition(topic, number), answer, deadline):
            letter = parse(message, journals)
            if symbol is None or letter.symbol == symbol:
                found.setdefault((letter.frame, letter.position, letter.trade_id, letter.content), letter)
            if len(found) >= limit:
                break
    return list(found.values())


def newest_first(
    consumer: Consumer, partition: TopicPartition, answer: float, deadline: float
) -> Iterator[Any]:
    """Yield a partition's messages from its end backwards, chunk by chunk.

    Raises TimeoutError when the time of `deadline` passes.
    """
    low, high = consumer.get_watermark_offsets(partition, timeout=answer)
    while high > low:
        start = max(low, high - CHUNK_MESSAGES)
        consumer.assign([TopicPartition(partition.topic, partition.partition, start)])
        chunk: list[Any] = []
        while not chunk or chunk[-1].offset() < high - 1:
            messages = consumer.consume(high - start - len(chunk), timeout=1.0)
            chunk += [message for message in messages if message.error() is None]
            if time.monotonic() > deadline:
                raise TimeoutError
        yield from reversed(chunk)
        high = start


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
