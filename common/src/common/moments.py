"""Times as users write them."""

from datetime import UTC, datetime


def parse_moment(text: str) -> datetime:
    """Read an ISO 8601 time; without a zone it is UTC. Raise ValueError with a sentence when it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text} was not a time such as 2026-01-31 or 2026-01-31T14:30:00Z.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
