"""Write `demo.jsonl.gz`: minutes of the demo feed, across a full hour, as a collector would journal them.

Run it with PYTHONPATH=feed/src:common/src after a change of the simulation.
"""

import gzip
from datetime import UTC, datetime
from pathlib import Path

from collector.settings import DEFAULT_TICKERS
from common.instruments import instruments
from common.recording import Frame, encode
from feed.market import TICK_MS, Market
from feed.server import PING
from feed.simulation import Simulation

SEED = 20260115
START_MS = int(datetime(2026, 1, 15, 14, 57, tzinfo=UTC).timestamp() * 1000)
MINUTES = 6


def frames() -> list[Frame]:
    """Return the frames, received at the end of their tick."""
    market = Market(Simulation(instruments(), SEED), START_MS, is_live=True)
    found = []
    for tick in range(1, MINUTES * 60_000 // TICK_MS + 1):
        now = START_MS + tick * TICK_MS
        found += [Frame(now, text) for text in market.frames(now, list(DEFAULT_TICKERS))]
        if tick * TICK_MS % 60_000 == 0:
            found.append(Frame(now, PING))
    return found


if __name__ == "__main__":
    target = Path(__file__).with_name("demo.jsonl.gz")
    target.write_bytes(gzip.compress(b"".join(map(encode, frames())), mtime=0))
