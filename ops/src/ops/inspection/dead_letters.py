"""What `./market dead-letters` shows."""

from confluent_kafka import Consumer, KafkaException

from common.dead_letters import DeadLetter, newest_dead_letters
from ops.clients import kafka_config
from ops.errors import MarketError
from ops.settings import OpsSettings

# A broker on this machine answers in milliseconds; one that starts takes some seconds.
ANSWER_SECONDS = 15.0
# Long enough for some million letters, of which few are of the symbol that is asked for.
SEARCH_SECONDS = 60.0
CONTENT_CHARACTERS = 60


def dead_letters(settings: OpsSettings, symbol: str | None, limit: int) -> list[DeadLetter]:
    """Return the newest dead letters, newest first, each once however often it was sent.

    Raises MarketError when Kafka does not answer in time, or was never there.
    """
    if not settings.kafka_ops_password.get_secret_value():
        raise MarketError(f"No stack was ever started in {settings.market_home}: start one with ./market up.")
    consumer = Consumer(
        {
            **kafka_config(settings),
            "group.id": "ops.dead-letters",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
        }
    )
    try:
        return newest_dead_letters(
            consumer,
            settings.dead_letter_topic,
            settings.market_home / "journal",
            symbol=symbol,
            limit=limit,
            answer=ANSWER_SECONDS,
            search=SEARCH_SECONDS,
        )
    except KafkaException:
        raise MarketError(
            f"Kafka did not answer at {settings.bootstrap_servers} within {ANSWER_SECONDS:.0f} s; "
            "see ./market status, or start it with ./market up."
        ) from None
    except TimeoutError:
        raise MarketError(
            f"The dead letters could not be searched within {SEARCH_SECONDS:.0f} s; "
            "ask for fewer with --limit."
        ) from None
    finally:
        consumer.close()


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
