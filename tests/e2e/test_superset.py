"""The dashboard in a real browser, over a stack that came up on an empty store with the demo feed."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from ops.lifecycle.supervision import Supervisor
from stack import Stack, wait_until

STOCKS, CRYPTO = {"AAPL", "AMZN", "MSFT"}, {f"BINANCE:{coin}USDT" for coin in ("BTC", "DOGE", "ETH", "XRP")}
DRAWN = ("Price change", "Price, VWAP", "over time", "15 s running average")
DASHBOARD = re.compile(r":\d+/superset/dashboard/market/")
WAIT_MS = 90_000
STOP_SECONDS = 60

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def page(demo_stack: Stack, browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """Log in as the viewer, which opens the dashboard; at the end keep a picture."""
    page = browser.new_page(viewport={"width": 1600, "height": 1720}, timezone_id="Asia/Kolkata")
    page.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    errors: list[str] = []
    hosts: set[str | None] = set()
    # A refresh that overtakes a slow one cancels its requests, which the browser tells as errors.
    page.on("pageerror", lambda error: errors.append(str(error)) if error.name != "AbortError" else None)
    page.on("response", lambda response: hosts.add(urlsplit(response.url).hostname))
    page.goto(address(demo_stack))
    page.locator("#username").fill("viewer")
    page.locator("#password").fill(demo_stack.secrets()["SUPERSET_VIEWER_PASSWORD"])
    page.keyboard.press("Enter")
    page.wait_for_url(DASHBOARD)
    yield page
    page.screenshot(path=tmp_path / "page.png", timeout=WAIT_MS)
    assert errors == []
    assert hosts <= {"127.0.0.1", None, ""}
    page.close()


def address(stack: Stack, path: str = "/") -> str:
    return f"http://127.0.0.1:{stack.settings['SUPERSET_PORT']}{path}"


def chart(page: Page, title: str) -> Locator:
    """Return the chart of the open section whose title holds a text."""
    return page.locator("[data-test=chart-grid-component]:visible", has_text=title).first


def open_section(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def tickers(page: Page) -> Locator:
    """Return the first cells of the watchlist."""
    return chart(page, "Watchlist").locator("tbody tr td:first-child")


def see_section(page: Page, name: str, symbols: set[str]) -> None:
    """Check that a section shows figures, lines and tables of its own symbols."""
    open_section(page, name)
    expect(tickers(page)).to_have_count(len(symbols))
    assert set(tickers(page).all_inner_texts()) == symbols
    for title in DRAWN:
        expect(chart(page, title).locator("canvas").first).to_be_visible()
    latest = chart(page, "Latest trades").locator("tbody tr")
    expect(latest.first).to_be_visible()
    assert set(latest.locator("td:nth-child(2)").all_inner_texts()) <= symbols
    expect(page.get_by_text("No results were returned for this query").locator("visible=true")).to_have_count(
        0
    )
    expect(page.locator(".ant-alert-error:visible")).to_have_count(0)


def test_the_viewer_sees_live_stocks_and_crypto(page: Page) -> None:
    provenance = chart(page, "DEMO DATA")
    for text in ("DEMO DATA", "IEX only, about 2.5 % of US volume", "All times are UTC"):
        expect(provenance).to_contain_text(text)
    see_section(page, "Stocks", STOCKS)
    see_section(page, "Crypto", CRYPTO)
    newest = chart(page, "Latest trades").locator("tbody tr td").first
    shown = newest.inner_text()
    expect(newest).not_to_have_text(shown)


def test_the_ticker_filter_narrows_every_chart_of_its_section(page: Page) -> None:
    open_section(page, "Stocks")
    expect(tickers(page)).to_have_count(len(STOCKS))
    page.locator("#NATIVE_FILTER-stock").click()
    page.get_by_role("option", name="MSFT").click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Apply", exact=True).click()
    expect(tickers(page)).to_have_count(1)
    expect(tickers(page)).to_have_text("MSFT")
    latest = chart(page, "Latest trades").locator("tbody tr td:nth-child(2)")
    expect(latest.filter(has_not_text="MSFT")).to_have_count(0)
    see_section(page, "Crypto", CRYPTO)


def test_forecasts_and_quality_have_their_sections(page: Page) -> None:
    open_section(page, "Forecasts")
    expect(chart(page, "Latest forecast and price").locator("canvas").first).to_be_visible()
    expect(page.get_by_text("This is not investment advice.")).to_be_visible()
    open_section(page, "Quality")
    expect(chart(page, "Trades a minute").locator("canvas").first).to_be_visible()
    delays = chart(page, "Delay from exchange to collector").locator("tbody tr td:first-child")
    expect(delays.filter(has_text="BINANCE:BTCUSDT")).to_have_count(1)
    expect(page.get_by_text("About feed events")).to_be_visible()
    expect(chart(page, "Feed events")).to_be_visible()


def test_the_viewer_has_no_sql_lab(page: Page, demo_stack: Stack) -> None:
    expect(page.get_by_text("Dashboards", exact=True).first).to_be_visible()
    assert page.get_by_text("SQL", exact=True).count() == 0
    page.goto(address(demo_stack, "/sqllab/"))
    page.wait_for_url(DASHBOARD)


def test_nobody_gets_more_than_the_login_page(demo_stack: Stack, browser: Browser) -> None:
    stranger = browser.new_page()
    stranger.goto(address(demo_stack, "/superset/dashboard/market/"))
    stranger.wait_for_url(re.compile(r":\d+/login/"))
    expect(stranger.locator("#password")).to_be_visible()
    stranger.close()


def test_page_recovers_when_presto_comes_back(demo_stack: Stack, page: Page) -> None:
    expect(tickers(page)).to_have_count(len(STOCKS))
    supervisor = Supervisor(demo_stack.home)
    supervisor.stop("presto", STOP_SECONDS)
    expect(page.get_by_text(re.compile("Presto (does not answer|is still starting)")).first).to_be_visible()
    supervisor.start("presto")
    assert page.get_by_text("Traceback").count() == 0
    expect(tickers(page)).to_have_count(len(STOCKS), timeout=3 * WAIT_MS)
    # The table stays on the page while Presto is away; what comes next needs Presto.
    wait_until(lambda: demo_stack.status()["services"]["presto"]["ready"], "a Presto that is ready")
