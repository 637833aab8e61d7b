"""What feeds the stack, and where the feed service is."""

from typing import Literal

from pydantic import Field, SecretStr

from common.settings import Settings

Feed = Literal["live", "demo", "none"]


class FeedSettings(Settings):
    """The same seed gives the same simulated market."""

    finnhub_api_token: SecretStr | None = None
    market_feed: Feed | None = None
    feed_host: str = "127.0.0.1"
    feed_port: int = Field(default=8765, ge=1, le=65535)
    feed_seed: int | None = None

    @property
    def feed(self) -> Feed:
        """Return what feeds the stack unless told otherwise: live with a token, else the demo."""
        return self.market_feed or ("live" if self.finnhub_api_token else "demo")
