"""Run the feed service."""

import asyncio
import json
import logging
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from common.files import replace_text
from common.instruments import instruments
from common.logs import start_logging
from common.settings import SettingsError
from feed.market import Market
from feed.server import Feed
from feed.settings import FeedServiceSettings
from feed.simulation import Simulation

SERVICE = "feed"
BACKDATED_MS = 2 * 3600 * 1000
SAVE_SECONDS = 30.0

log = logging.getLogger("feed")


def main() -> int:
    """Run until told to stop; return the exit status."""
    start_logging(libraries={"websockets": logging.WARNING})
    try:
        settings = FeedServiceSettings.load()
        asyncio.run(_run(settings))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"The feed could not listen on {settings.feed_host}:{settings.feed_port}: "
            f"{error.strerror}; set another FEED_PORT.",
            file=sys.stderr,
        )
        return 1
    return 0


async def _run(settings: FeedServiceSettings) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    market = open_market(settings) if settings.feed == "demo" else None
    feed = Feed(market)
    server = await feed.serve(settings.feed_host, settings.feed_port)
    log.info(
        "listening on %s:%d, %s", settings.feed_host, settings.feed_port, "demo" if market else "replays only"
    )
    while not stopping.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), SAVE_SECONDS)
        if market is not None:
            save_prices(settings.market_home, market.simulation.prices)
    server.close()
    await server.wait_closed()


def open_market(settings: FeedServiceSettings) -> Market:
    """Return the simulated market; where nothing was ever received it begins with two hours of the past."""
    now_ms = time.time_ns() // 1_000_000
    is_fresh = not any((settings.market_home / "journal").glob("*.jsonl*"))
    simulation = Simulation(instruments(), settings.feed_seed, load_prices(settings.market_home))
    return Market(simulation, now_ms - BACKDATED_MS if is_fresh else now_ms, is_live=not is_fresh)


def prices_file(home: Path) -> Path:
    """Return where the last prices are kept, so that a new start goes on from them."""
    return home / "data" / SERVICE / "prices.json"


def load_prices(home: Path) -> dict[str, float]:
    """Return the prices that were kept."""
    try:
        prices = json.loads(prices_file(home).read_text())
        return {str(symbol): float(price) for symbol, price in prices.items() if 0 < float(price) < 1e9}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def save_prices(home: Path, prices: dict[str, float]) -> None:
    """Keep the prices."""
    path = prices_file(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(load_prices(home) | prices))


if __name__ == "__main__":
    sys.exit(main())
