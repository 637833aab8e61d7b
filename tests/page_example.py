"""What the pages of Streamlit show, from a store in memory."""

import base64
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from streamlit.testing.v1 import AppTest

from common.bars import BAR_SECONDS
from common.symbols import asset_class
from forecast_example import HISTOGRAM, MADE, PARAMETERS, STORED
from streamlit_pages.candles import Bars
from streamlit_pages.store import (
    Distribution,
    Event,
    Forecast,
    Gap,
    Judgement,
    Parameters,
    Score,
    Symbol,
    to_datetime64,
)

# Without the navigation of `app.py`, which AppTest cannot run a second time.
SCRIPT = "from streamlit_pages.pages.{page} import draw\ndraw()"
NAME = "BINANCE:BTCUSDT"


class ExampleStore:
    """Answers as `Store` does: symbols with an hour of bars around one forecast."""

    def __init__(self) -> None:
        self.source = "demo"
        self.parameters_rows: tuple[Parameters, ...] = (PARAMETERS,)
        self.score_rows: tuple[Score, ...] = ()
        self.event_rows: tuple[Event, ...] = ()
        self.gap_rows: tuple[Gap, ...] = ()
        self.judgement_rows: tuple[Judgement, ...] = ()
        self.names = (NAME,)
        self.queries: list[str] = []

    def symbols(self) -> tuple[Symbol, ...]:
        self.queries.append("symbols")
        last = MADE + timedelta(minutes=30)
        first = MADE - timedelta(hours=1)
        return tuple(Symbol(name, asset_class(name), self.source, first, last) for name in self.names)

    def bars(self, symbol: str, start: datetime, end: datetime) -> Bars:
        assert symbol in self.names
        first, last = max(start, MADE - timedelta(hours=1)), min(end, MADE + timedelta(minutes=30))
        count = max(0, int((last - first).total_seconds() // BAR_SECONDS))
        starts = to_datetime64(first) + np.arange(count) * np.timedelta64(BAR_SECONDS, "s")
        price, ones = np.full(count, 64_000.0), np.ones(count)
        return Bars(
            starts, price, price + 2, price - 2, price, ones, price, ones, np.ones(count, dtype=np.int64)
        )

    def parameters(self, *_: Any) -> tuple[Parameters, ...]:
        return self.parameters_rows

    def forecast(self, _: str, forecast_time: datetime) -> Forecast:
        return replace(STORED, forecast_time=forecast_time)

    def distribution(self, *_: Any) -> Distribution:
        return HISTOGRAM

    def scores(self, *_: Any) -> tuple[Score, ...]:
        return self.score_rows

    def judgements(self) -> tuple[Judgement, ...]:
        return self.judgement_rows

    def events(self, *_: Any) -> tuple[Event, ...]:
        return self.event_rows

    def gaps(self, *_: Any) -> tuple[Gap, ...]:
        return self.gap_rows


def page(name: str = "forecast", **address: str) -> AppTest:
    app = AppTest.from_string(SCRIPT.format(page=name), default_timeout=60)
    for key, value in address.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    elements = (app.info, app.warning, app.caption, app.markdown, app.title, app.subheader)
    return "\n".join(str(element.value) for kind in elements for element in kind)


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: str(metric.value) for metric in app.metric}


def traces(app: AppTest) -> list[set[str]]:
    specifications = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    return [{trace["name"] for trace in chart["data"] if "name" in trace} for chart in specifications]


def numbers(values: Any) -> list[float]:
    """Return an array of a chart: a list, or the base64 of its bytes."""
    if not isinstance(values, dict):
        return list(map(float, values))
    data = base64.b64decode(values["bdata"])
    return list(map(float, np.frombuffer(data, dtype=values["dtype"])))
