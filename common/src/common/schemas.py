"""The wire's Avro schemas, by fingerprint, and the table of sale conditions."""

import csv
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import fastavro.schema

from common.settings import ROOT

FOLDER = ROOT / "schemas"


@dataclass(frozen=True)
class Schema:
    """An Avro schema as text, as fastavro parsed it, and its CRC-64-AVRO fingerprint in hex."""

    text: str
    parsed: Any
    fingerprint: str


@dataclass(frozen=True)
class Condition:
    """What a trade with one sale condition may update."""

    code: str
    open_close: Literal["yes", "no", "only alone"]
    high_low: bool
    volume: bool


def read_schema(path: Path) -> Schema:
    """Read one `.avsc` file."""
    text = path.read_text(encoding="utf-8")
    parsed = fastavro.schema.parse_schema(json.loads(text))
    canonical = fastavro.schema.to_parsing_canonical_form(parsed)
    return Schema(text, parsed, fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))


@cache
def trades_schema() -> Schema:
    """Return the schema that new messages are written with."""
    return read_schema(FOLDER / "trades.avsc")


@cache
def trades_schemas() -> dict[str, Schema]:
    """Return every version of the trades schema, former ones too, by fingerprint."""
    return {schema.fingerprint: schema for schema in map(read_schema, sorted(FOLDER.glob("trades*.avsc")))}


@cache
def events_schema() -> Schema:
    """Return the schema of the feed's events."""
    return read_schema(FOLDER / "feed_events.avsc")


@cache
def trade_conditions() -> tuple[Condition, ...]:
    """Return the sale conditions that restrict what a trade may update."""
    with (FOLDER / "trade_conditions.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Condition(
                row["code"],
                row["updates_open_close"],  # type: ignore[arg-type]
                row["updates_high_low"] == "yes",
                row["updates_volume"] == "yes",
            )
            for row in csv.DictReader(file)
        )
