"""The page in a real browser, over a stack that came up on an empty store with the demo feed."""

import math
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from confluent_kafka import Producer
from playwright.sync_api import Browser, Page, expect
from scipy.optimize import brentq
from scipy.stats import invgamma, norm

from collector.journal import read_lines
from common.frames import read_frame
from common.recording import decode
from ops.lifecycle.supervision import Supervisor
from stack import Stack, wait_until
from topics import admin_login

SYMBOL = "BINANCE:BTCUSDT"
PROBABILITIES = {"5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95}
# Five standard errors: wrong once in two million quantiles.
STANDARD_ERRORS = 5
VARIANCES = 32  # the forecast cuts its distribution of the variance into so many parts
WAIT_MS = 60_000
OPEN_MS = 180_000
STOP_SECONDS = 60

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def empty_page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """Return a page; at the end keep a picture, and check that no error was shown or logged."""
    page = browser.new_page(viewport={"width": 1500, "height": 2400}, timezone_id="Asia/Kolkata")
    page.set_default_timeout(WAIT_MS)
    errors: list[str] = []
    hosts: set[str | None] = set()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    yield page
    page.screenshot(path=tmp_path / "page.png", timeout=WAIT_MS)
    assert page.get_by_test_id("stException").count() == 0
    assert errors == []
    assert hosts <= {"127.0.0.1", None, ""}
    page.close()


@pytest.fixture
def page(demo_stack: Stack, empty_page: Page) -> Page:
    """Open the page of one symbol."""
    empty_page.goto(address(demo_stack, f"?symbol={SYMBOL}"))
    for key in ("candles", "fan", "distribution"):
        empty_page.wait_for_function(f"{figure(key)}?.data.length > 0", timeout=OPEN_MS)
    return empty_page


@pytest.fixture
def parameters(demo_stack: Stack, page: Page) -> Any:
    """Return the stored parameters of the forecast that the page shows."""
    picked = page.get_by_role("combobox", name="Forecast").input_value()
    made = datetime.strptime(picked, "Latest, made %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    of_forecast = "WHERE symbol = %s AND day = %s AND forecast_time = %s"
    key = (SYMBOL, made.date(), made)
    session = demo_stack.cassandra()
    row = session.execute(
        "SELECT drift, volatility, degrees_of_freedom, scale, seconds_per_year, prob_up "
        f"FROM gbm_parameters {of_forecast}",
        key,
    ).one()
    last = list(session.execute(f"SELECT spot, target_time, paths FROM gbm_forecasts {of_forecast}", key))[-1]
    session.cluster.shutdown()
    horizon = (last.target_time.replace(tzinfo=UTC) - made).total_seconds()
    return {
        "spot": last.spot,
        "paths": last.paths,
        "years": horizon / row.seconds_per_year,
        "drift": row.drift,
        "volatility": row.volatility,
        "scale": row.scale,
        "degrees_of_freedom": row.degrees_of_freedom,
        "prob_up": row.prob_up,
    }


def address(stack: Stack, path: str) -> str:
    return f"http://127.0.0.1:{stack.settings['STREAMLIT_PORT']}/{path}"


def cells(page: Page, key: str) -> list[dict[str, str]]:
    """Return the rows of a data frame by the names of its columns, as a screen reader finds them."""
    grid = page.locator(f".st-key-{key} [role=grid]").first
    expect(grid.locator("[role=gridcell]").first).to_be_attached(timeout=OPEN_MS)
    names = grid.locator("[role=columnheader]").all_text_contents()
    rows = grid.locator("[role=row]:has([role=gridcell])")
    return [
        dict(zip(names, rows.nth(number).locator("[role=gridcell]").all_text_contents(), strict=True))
        for number in range(rows.count())
    ]


def figure(key: str) -> str:
    return f"document.querySelector('.st-key-{key} .js-plotly-plot')"


def traces(page: Page, key: str) -> dict[str, dict[str, Any]]:
    """Return a chart's traces by name, as the browser holds them."""
    script = (
        f"{figure(key)}._fullData.map(t => "
        "({name: t.name, type: t.type, x: Array.from(t.x), y: Array.from(t.y || t.close)}))"
    )
    return {trace["name"]: trace for trace in page.evaluate(script)}


def table(page: Page, key: str) -> dict[str, dict[str, str]]:
    """Return a table's cells by the first cell of their row and the column's name."""
    lines = page.locator(f".st-key-{key} table tr")
    rows = [
        [cell.strip() for cell in lines.nth(row).locator("th, td").all_inner_texts()]
        for row in range(lines.count())
    ]
    return {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[1:]}


def number(text: str) -> float:
    return float(text.replace(",", "").removesuffix(" %"))


class PriceLaw:
    """The prices at the last target: log-normal, averaged over equally likely factors of the variance."""

    def __init__(self, parameters: Any, drift: float, volatility: float) -> None:
        degrees = parameters["degrees_of_freedom"]
        shares = (np.arange(VARIANCES) + 0.5) / VARIANCES
        factors = np.ones(1) if degrees is None else invgamma.ppf(shares, degrees / 2, scale=degrees / 2)
        variances = (volatility * parameters["scale"]) ** 2 * factors * parameters["years"]
        self._spot = parameters["spot"]
        self._means = drift * parameters["years"] - variances / 2
        self._deviations = np.sqrt(variances)

    def quantile(self, probability: float) -> float:
        def excess(log_return: float) -> float:
            return float(norm.cdf(log_return, self._means, self._deviations).mean()) - probability

        reach = 10 * float(self._deviations.max()) + float(np.abs(self._means).max())
        return float(self._spot * math.exp(brentq(excess, -reach, reach, xtol=1e-14)))

    def density(self, price: float) -> float:
        log_return = math.log(price / self._spot)
        return float(norm.pdf(log_return, self._means, self._deviations).mean()) / price


def check_quantiles(shown: dict[str, float], parameters: Any, drift: float, volatility: float) -> None:
    """Compare prices with the exact quantiles, within a simulation's error and the last digit."""
    law = PriceLaw(parameters, drift, volatility)
    for name, probability in PROBABILITIES.items():
        exact = law.quantile(probability)
        error = math.sqrt(probability * (1 - probability) / parameters["paths"]) / law.density(exact)
        assert shown[name] == pytest.approx(exact, abs=STANDARD_ERRORS * error + 0.01), name


def test_page_shows_live_candles_and_the_fan(page: Page) -> None:
    for text in ("DEMO DATA", "Not investment advice", "All times UTC"):
        expect(page.get_by_text(text).first).to_be_visible()
    shown = traces(page, "candles")
    assert shown["Price"]["type"] == "candlestick"
    assert len(shown["Price"]["x"]) > 60
    assert {"5 % to 95 %", "25 % to 75 %", "median", "VWAP"} <= shown.keys()
    newest = datetime.fromisoformat(shown["Price"]["x"][-1]).replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - newest) < timedelta(minutes=10)
    fan = traces(page, "fan")
    assert {"5 % to 95 %", "25 % to 75 %", "median"} <= fan.keys()
    volume = sum(shown["Volume"]["y"])
    page.wait_for_function(
        f"{figure('candles')}._fullData.find(t => t.name == 'Volume').y.reduce((a, b) => a + b) != {volume}"
    )


def test_shown_quantiles_agree_with_the_closed_form(page: Page, parameters: Any) -> None:
    shown = table(page, "quantiles")
    simulated = {name: number(shown[name]["Simulated"]) for name in PROBABILITIES}
    check_quantiles(simulated, parameters, parameters["drift"], parameters["volatility"])
    law = PriceLaw(parameters, parameters["drift"], parameters["volatility"])
    for name, probability in PROBABILITIES.items():
        exact = law.quantile(probability)
        assert number(shown[name]["Closed form"]) == pytest.approx(exact, abs=0.01)
    assert number(table(page, "risks")["above spot"]["Forecast"]) / 100 == pytest.approx(
        parameters["prob_up"], abs=0.001
    )


def test_a_scenario_is_simulated_beside_the_stored_forecast(page: Page, parameters: Any) -> None:
    stored = table(page, "quantiles")
    page.get_by_role("button", name="Calm").click()
    expect(page.locator(".st-key-quantiles")).to_contain_text("Scenario")
    calm = table(page, "quantiles")
    assert {name: row["Simulated"] for name, row in calm.items()} == {
        name: row["Simulated"] for name, row in stored.items()
    }
    scenario = {name: number(calm[name]["Scenario"]) for name in PROBABILITIES}
    check_quantiles(scenario, parameters, 0.0, parameters["volatility"] / 2)
    page.wait_for_function(f"{figure('fan')}._fullData.some(t => t.name == 'median, scenario')")
    page.get_by_role("button", name="As forecast").click()
    expect(page.locator(".st-key-quantiles")).not_to_contain_text("Scenario")


def test_slider_moves_the_volatility(page: Page, parameters: Any) -> None:
    slider = page.get_by_role("slider", name="Volatility, per year")
    slider.focus()
    slider.press("ArrowRight")
    expect(page.locator(".st-key-quantiles")).to_contain_text("Scenario")
    scenario = {name: number(row["Scenario"]) for name, row in table(page, "quantiles").items()}
    check_quantiles(scenario, parameters, parameters["drift"], parameters["volatility"] * 1.01)


def test_the_pipeline_page_shows_a_decoded_message_and_a_dead_letter(
    demo_stack: Stack, empty_page: Page
) -> None:
    garbage = f"no Avro {uuid.uuid4().hex}"
    producer = Producer(admin_login(demo_stack))
    producer.produce(demo_stack.topic, garbage.encode(), headers=[("frame", b"test:1")])
    assert producer.flush(60) == 0
    empty_page.goto(address(demo_stack, f"pipeline?message-symbol={SYMBOL}"))
    newest = cells(empty_page, "messages")[0]
    journal, _, line = newest["frame"].partition(":")
    received = list(read_lines(demo_stack.home / "journal", journal))[int(line) - 1]
    trades = read_frame(decode(received).text).trades[SYMBOL]
    assert newest["ticker"] == SYMBOL
    assert f'"p": {trades[0]["p"]}, "s": "{SYMBOL}", "t": {trades[0]["t"]}' in newest["content"]
    wait_until(
        lambda: garbage in {row["content"] for row in cells(empty_page, "dead-letters")},
        "the dead letter on the page",
    )
    topic = demo_stack.topic
    assert {row["topic"] for row in cells(empty_page, "partitions")} == {
        topic,
        f"{topic}.events",
        f"{topic}.dead-letter",
    }


def test_the_compare_page_shows_changes_of_the_named_symbols(demo_stack: Stack, empty_page: Page) -> None:
    other = "BINANCE:ETHUSDT"
    empty_page.goto(address(demo_stack, f"compare?symbols={SYMBOL}&symbols={other}&range=1+h"))
    empty_page.wait_for_function(f"{figure('changes')}?.data.length == 2", timeout=OPEN_MS)
    shown = traces(empty_page, "changes")
    assert shown.keys() == {SYMBOL, other}
    session = demo_stack.cassandra()
    for symbol, trace in shown.items():
        first, last = (datetime.fromisoformat(trace["x"][place]).replace(tzinfo=UTC) for place in (0, -2))
        opening, closing = (
            list(
                session.execute(
                    "SELECT close FROM bars_5s WHERE symbol = %s AND day = %s AND window_start >= %s "
                    "AND window_start < %s",
                    (symbol, minute.date(), minute, minute + timedelta(minutes=1)),
                )
            )[-1].close
            for minute in (first, last)
        )
        assert trace["y"][0] == 0
        assert trace["y"][-2] == pytest.approx(closing / opening - 1, abs=1e-9), symbol
    session.cluster.shutdown()


def test_page_recovers_when_cassandra_comes_back(demo_stack: Stack, page: Page) -> None:
    supervisor = Supervisor(demo_stack.home)
    supervisor.stop("cassandra", STOP_SECONDS)
    expect(page.get_by_text("Cassandra does not answer.").first).to_be_visible()
    supervisor.start("cassandra")
    for key in ("candles", "fan"):
        page.wait_for_function(f"{figure(key)}?.data.length > 0", timeout=OPEN_MS)
