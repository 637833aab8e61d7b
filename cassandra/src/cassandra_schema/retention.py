"""How long each table keeps its rows, and the table options that follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass

from cassandra_schema.roles import FORECAST_TABLES
from cassandra_schema.settings import CassandraSchemaSettings

DAY_SECONDS = 86_400
WINDOWS = 30  # files a table of time windows falls into over its rows' life


@dataclass(frozen=True)
class TableOptions:
    """The options of a table that belong to retention, times in seconds."""

    default_time_to_live: int
    gc_grace_seconds: int
    compaction: dict[str, str]

    @property
    def cql(self) -> str:
        """Return what follows WITH in a statement."""
        return (
            f"default_time_to_live = {self.default_time_to_live} "
            f"AND gc_grace_seconds = {self.gc_grace_seconds} AND compaction = {self.compaction}"
        )


def days_kept(settings: CassandraSchemaSettings) -> dict[str, int]:
    """Return the days each table keeps a row; 0 for ever. `symbols` is not there: it never grows old."""
    return {
        "trades": settings.cassandra_trades_ttl_days,
        "bars_5s": settings.cassandra_bars_ttl_days,
        "running_averages_15s": settings.cassandra_bars_ttl_days,
        "feed_events": settings.cassandra_bars_ttl_days,
        **dict.fromkeys(FORECAST_TABLES, settings.cassandra_forecasts_ttl_days),
    }


def options(days: int, compaction: Mapping[str, str]) -> TableOptions:
    """Return the options for rows kept so many days, given the table's compaction as it is.

    Rows are never deleted, they only expire, so that a day of grace is enough; a table compacted by time
    windows gets windows that let whole files expire.
    """
    wanted = dict(compaction)
    if "compaction_window_size" in wanted:
        wanted["compaction_window_size"] = str(max(1, (days or 365) // WINDOWS))
    return TableOptions(days * DAY_SECONDS, DAY_SECONDS, wanted)
