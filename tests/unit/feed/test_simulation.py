"""The simulated market: believable, repeatable, and without a seam between past and present."""

import itertools
import json
import math
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from collector.settings import DEFAULT_TICKERS
from common.frames import read_frame
from common.instruments import instruments, search
from common.symbols import asset_class
from feed.__main__ import BACKDATED_MS, load_prices, open_market, save_prices
from feed.market import FRAME_TRADES, TICK_MS, Market
from feed.settings import FeedServiceSettings
from feed.simulation import YEAR_MS, Simulation

START_MS = 1_768_489_020_000
MINUTES = 120


def simulate(minutes: int, seed: int = 1, step_ms: int = TICK_MS) -> pl.DataFrame:
    """Return the trades of the default tickers, in order of arrival."""
    simulation = Simulation(instruments(), seed)
    end = START_MS + minutes * 60_000
    rows = [
        {"at": arrival.at, "c": arrival.trade.get("c"), **{name: arrival.trade[name] for name in "pstv"}}
        for start in range(START_MS, end, step_ms)
        for arrival in simulation.advance(start, start + step_ms, DEFAULT_TICKERS)
    ]
    return pl.DataFrame(rows, schema_overrides={"p": pl.Float64, "v": pl.Float64}, infer_schema_length=None)


@pytest.fixture(scope="module")
def trades() -> pl.DataFrame:
    return simulate(MINUTES)


def test_the_same_seed_gives_the_same_market() -> None:
    assert simulate(3, seed=5).equals(simulate(3, seed=5))
    assert not simulate(3, seed=5).equals(simulate(3, seed=6))


def test_the_default_tickers_trade_about_as_often_as_they_should(trades: pl.DataFrame) -> None:
    per_second = trades.height / MINUTES / 60
    assert 10 <= per_second <= 17
    assert set(trades["s"]) == set(DEFAULT_TICKERS)


def test_trades_arrive_in_order_a_little_after_they_were_made(trades: pl.DataFrame) -> None:
    assert trades["at"].is_sorted()
    delay = trades["at"] - trades["t"]
    assert delay.min() >= 0  # type: ignore[operator]
    assert 20 < delay.mean() < 120  # type: ignore[operator]
    assert (trades.filter(pl.col("s") == "AAPL")["t"].diff() < 0).any()


def test_prices_keep_to_their_tick_and_volumes_to_their_lot(trades: pl.DataFrame) -> None:
    for symbol in DEFAULT_TICKERS:
        known = instruments()[symbol]
        some = trades.filter(pl.col("s") == symbol)
        for column, unit in (("p", known.tick), ("v", known.lot)):
            steps = some[column] / unit
            assert ((steps - steps.round()).abs() < 1e-4).all(), (symbol, column)
        assert some["p"].min() > 0  # type: ignore[operator]


def test_the_volatility_is_that_of_the_instrument() -> None:
    """Realised volatility of minute returns against the instrument's own; 5 standard errors."""
    minutes = 2000
    quiet = {symbol: one._replace(trades_per_second=1e-3) for symbol, one in instruments().items()}
    simulation = Simulation(quiet, 3)
    prices: dict[str, list[float]] = {symbol: [] for symbol in DEFAULT_TICKERS}
    for minute in range(minutes):
        simulation.advance(START_MS + minute * 60_000, START_MS + (minute + 1) * 60_000, DEFAULT_TICKERS)
        for symbol, price in simulation.prices.items():
            prices[symbol].append(math.log(price))
    returns = pl.DataFrame(prices).select(pl.all().diff()).drop_nulls()
    error = 5 / math.sqrt(2 * minutes)
    for symbol in DEFAULT_TICKERS:
        realised = returns[symbol].std() * math.sqrt(YEAR_MS / 60_000)  # type: ignore[operator]
        assert realised == pytest.approx(instruments()[symbol].volatility, rel=error)
    between = returns.select(pl.corr("BINANCE:BTCUSDT", "BINANCE:ETHUSDT")).item()
    across = returns.select(pl.corr("BINANCE:BTCUSDT", "AAPL")).item()
    assert between == pytest.approx(0.75**2, abs=5 / math.sqrt(minutes))
    assert across == pytest.approx(0, abs=5 / math.sqrt(minutes))


def test_stocks_carry_sale_conditions_and_odd_lots_say_so(trades: pl.DataFrame) -> None:
    stocks = trades.filter(~pl.col("s").str.contains(":"))
    crypto = trades.filter(pl.col("s").str.contains(":"))
    assert crypto["c"].is_null().all()
    assert stocks["c"].list.contains("1").all()
    odd = stocks.filter(pl.col("v") % 100 != 0)
    assert odd["c"].list.contains("12").all()
    assert not stocks.filter((pl.col("v") % 100 == 0) & (pl.col("v") > 0))["c"].list.contains("12").any()
    assert 0.2 < odd.height / stocks.height < 0.4
    assert stocks["c"].list.contains("24").any()


def test_bursts_twins_and_zero_volumes_occur(trades: pl.DataFrame) -> None:
    together = trades.group_by("s", "t").len()
    assert (together["len"] > 1).mean() > 0.3  # type: ignore[operator]
    twins = trades.group_by("s", "t", "p", "v").len().filter(pl.col("len") > 1)
    assert twins.height > 0
    assert 0 < (trades["v"] == 0).mean() < 0.01  # type: ignore[operator]


def test_catching_up_and_following_are_one_market_without_a_jump() -> None:
    tickers = list(DEFAULT_TICKERS)
    market = Market(Simulation(instruments(), 7), START_MS, is_live=False)
    now = START_MS + 10 * 60_000
    frames = []
    while not market.is_live:
        frames += market.frames(now, tickers)
    backdated = len(frames)
    for tick in range(1, 600):
        frames += market.frames(now + tick * TICK_MS, tickers)
    contents = [json.loads(frame) for frame in frames]
    assert all(1 <= len(content["data"]) <= FRAME_TRADES for content in contents)
    assert not any(read_frame(frame).refused for frame in frames)
    assert backdated > 100
    assert len(frames) > backdated
    times = [trade["t"] for content in contents for trade in content["data"]]
    assert times[0] < START_MS + 5_000
    assert max(times) <= now + 600 * TICK_MS
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert max(gaps) < 10_000
    last: dict[str, float] = {}
    for content in contents:
        for trade in content["data"]:
            assert trade["p"] == pytest.approx(last.get(trade["s"], trade["p"]), rel=0.005)
            last[trade["s"]] = trade["p"]


def test_time_in_which_nobody_listens_passes_without_trades() -> None:
    market = Market(Simulation(instruments(), 7), START_MS, is_live=True)
    market.skip_to(START_MS + 3_600_000)
    frames = market.frames(START_MS + 3_605_000, ["BINANCE:BTCUSDT"])
    times = [trade["t"] for frame in frames for trade in json.loads(frame)["data"]]
    assert times
    assert min(times) > START_MS + 3_590_000


def test_an_empty_store_is_given_two_hours_and_prices_go_on_after_a_restart(tmp_path: Path) -> None:
    settings = FeedServiceSettings(market_home=tmp_path, feed_seed=1)
    fresh = open_market(settings)
    assert not fresh.is_live
    first = json.loads(fresh.frames(fresh._clock + BACKDATED_MS, list(DEFAULT_TICKERS))[0])["data"]
    assert all(trade["p"] == pytest.approx(instruments()[trade["s"]].price, rel=0.01) for trade in first)
    save_prices(tmp_path, {"AAPL": 1234.5})
    assert load_prices(tmp_path) == {"AAPL": 1234.5}
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "20260115T145700000d.jsonl").touch()
    again = open_market(settings)
    assert again.is_live
    now = again._clock
    frames = [frame for tick in range(1, 600) for frame in again.frames(now + tick * TICK_MS, ["AAPL"])]
    assert json.loads(frames[0])["data"][0]["p"] == pytest.approx(1234.5, rel=0.01)


def test_damaged_prices_are_ignored(tmp_path: Path) -> None:
    save_prices(tmp_path, {"AAPL": 1.0})
    for text in ("{", "[]", '{"AAPL": "x"}'):
        (tmp_path / "data" / "feed" / "prices.json").write_text(text)
        assert load_prices(tmp_path) == {}


def test_the_universe_is_sound() -> None:
    known = instruments()
    assert len(known) >= 60
    assert set(DEFAULT_TICKERS) <= set(known)
    assert Counter(asset_class(symbol) for symbol in known)["crypto"] >= 10
    for one in known.values():
        assert one.price > one.tick > 0
        assert 0.1 < one.volatility < 1.5
        assert 0 < one.trades_per_second < 10


def test_a_search_finds_symbols_and_names() -> None:
    assert search("AAPL")[0].symbol == "AAPL"
    assert [one.symbol for one in search("microsoft")] == ["MSFT"]
    assert search("V")[0].symbol == "V"
    assert search("BINANCE:BTCUSDT")[0].symbol == "BINANCE:BTCUSDT"
    assert search("  ") == search("NOSUCH") == []
