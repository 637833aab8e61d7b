"""SQL through Presto."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import prestodb
import requests

from ops.errors import MarketError
from ops.settings import OpsSettings

USER = "ops"
# Presto answers each request at once, with the state of the query where that still runs.
TIMEOUT_SECONDS = 30.0


def run_query(
    settings: OpsSettings, sql: str, limits: Mapping[str, str] = MappingProxyType({})
) -> list[dict[str, Any]]:
    """Return the rows as objects; raise MarketError with Presto's own words when it refuses.

    `limits` are session properties, such as `query_max_run_time`.
    """
    connection = prestodb.dbapi.connect(
        host=settings.presto_host,
        port=settings.presto_port,
        user=USER,
        source="market",
        http_headers={"X-Presto-Time-Zone": "UTC"},
        session_properties=dict(limits),
        request_timeout=TIMEOUT_SECONDS,
    )
    connection._http_session.trust_env = False  # a proxy has no business with a local server
    cursor = connection.cursor()
    try:
        cursor.execute(sql.strip().rstrip(";"))
        rows = cursor.fetchall()
        names = [column[0] for column in cursor.description or ()]
    except prestodb.exceptions.PrestoQueryError as error:
        raise MarketError(f"Presto refused the query: {' '.join(str(error.message).split())}.") from None
    except requests.exceptions.RequestException:
        raise MarketError(
            f"Presto did not answer on {settings.presto_host}:{settings.presto_port}; see ./market status, "
            "or start it with ./market up."
        ) from None
    except (prestodb.exceptions.HttpError, prestodb.exceptions.DatabaseError) as error:
        raise MarketError(f"Presto could not run the query: {' '.join(str(error).split())[:300]}.") from None
    return [dict(zip(names, row, strict=True)) for row in rows]


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as aligned text."""
    if not rows:
        return "(no rows)"
    names = list(rows[0])
    cells = [names, *([("" if row[name] is None else str(row[name])) for name in names] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(names))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
