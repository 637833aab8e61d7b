"""What the tables should hold, computed by polars from a recording alone."""

import json
from pathlib import Path

import polars as pl

from common.recording import read_recording

NO_PRICE = ["3", "5", "10", "12", "16", "17", "20", "22", "25", "26", "37"]
NO_VOLUME = ["16", "20", "39"]
ONLY_ALONE = ["9", "15", "21", "30", "32"]


def trades(recording: Path, receipts: int = 1) -> pl.DataFrame:
    """Return a recording's trades in arrival order, as if it had been received `receipts` times."""
    rows = [
        (
            trade["s"],
            trade["t"],
            float(trade["p"]),
            float(trade["v"]),
            [c for c in trade.get("c") or [] if c is not None],
        )
        for _ in range(receipts)
        for frame in read_recording(recording)
        for trade in _trades_of(frame.text)
    ]
    return pl.DataFrame(
        rows,
        schema={
            "symbol": pl.String,
            "t": pl.Int64,
            "p": pl.Float64,
            "v": pl.Float64,
            "c": pl.List(pl.String),
        },
        orient="row",
    ).with_row_index("arrival")


def _trades_of(text: str) -> list[dict[str, object]]:
    frame = json.loads(text)
    return frame["data"] if frame.get("type") == "trade" else []


def _none_of(codes: list[str]) -> pl.Expr:
    return pl.col("c").list.set_intersection(pl.lit(codes, dtype=pl.List(pl.String))).list.len() == 0


def _eligible(trades: pl.DataFrame) -> pl.DataFrame:
    return trades.with_columns(
        start=pl.col("t") // 5000 * 5000,
        price=_none_of(NO_PRICE),
        counts=_none_of(NO_VOLUME),
        full=_none_of(NO_PRICE + ONLY_ALONE),
    )


def bars(trades: pl.DataFrame) -> pl.DataFrame:
    """Return the 5-second bars, `window_start` in ms, sorted by symbol and window."""
    ordered = _eligible(trades).sort("t", "arrival")
    price, volume, both = pl.col("p").filter(pl.col("price")), pl.col("v"), pl.col("price") & pl.col("counts")
    full = pl.col("p").filter(pl.col("full"))
    value = (pl.col("p") * volume).filter(both).sum()
    return (
        ordered.group_by("symbol", window_start="start")
        .agg(
            open=pl.coalesce(full.first(), price.first()),
            high=price.max(),
            low=price.min(),
            close=pl.coalesce(full.last(), price.last()),
            volume=volume.filter(pl.col("counts")).sum(),
            vwap=pl.when(volume.filter(both).sum() != 0).then(value / volume.filter(both).sum()),
            trade_count=pl.len().cast(pl.Int64),
        )
        .sort("symbol", "window_start")
    )


def running_averages(trades: pl.DataFrame) -> pl.DataFrame:
    """Return the 15-second running averages, one every 5 s, sorted by symbol and window."""
    volume, both = pl.col("v"), pl.col("price") & pl.col("counts")
    value = (pl.col("p") * volume).filter(both)
    return (
        _eligible(trades)
        .with_columns(window_start=pl.concat_list(pl.col("start") - back for back in (0, 5000, 10000)))
        .explode("window_start")
        .group_by("symbol", "window_start")
        .agg(
            average_price=pl.col("p").filter(pl.col("price")).mean(),
            vwap=pl.when(volume.filter(both).sum() != 0).then(value.sum() / volume.filter(both).sum()),
            price_volume=value.mean(),
            trade_count=pl.len().cast(pl.Int64),
        )
        .sort("symbol", "window_start")
    )
