"""The feed service's settings."""

from common.settings import FeedSettings


class FeedServiceSettings(FeedSettings):
    """The same seed gives the same simulated market."""

    feed_seed: int | None = None
