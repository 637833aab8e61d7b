"""The Streamlit pages for those who see little, or use a keyboard or a screen reader, by the rules of axe."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from stack import Stack

PAGES = ("", "track_record", "compare", "pipeline")
SERIOUS = ("serious", "critical")
# Streamlit's own: the colors of its JSON, and the white text of a chosen option on the dark theme's color.
STREAMLITS_OWN = (".pretty-json-container", '[data-testid="stMultiSelect"] [title]')
WAIT_MS = 60_000

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_serious_fault(demo_stack: Stack, browser: Browser, path: str, theme: str) -> None:
    page = browser.new_page(viewport={"width": 1500, "height": 2400}, color_scheme=theme)
    page.set_default_timeout(WAIT_MS)
    page.goto(f"http://127.0.0.1:{demo_stack.settings['STREAMLIT_PORT']}/{path}")
    page.get_by_role("heading", level=1).wait_for()
    page.locator("[data-test-script-state=notRunning]").wait_for()
    found = Axe().run(page, context={"exclude": [[place] for place in STREAMLITS_OWN]}).response
    faults = [
        (fault["help"], [node["html"] for node in fault["nodes"]])
        for fault in found["violations"]
        if fault["impact"] in SERIOUS
    ]
    assert found["passes"]
    assert faults == []
    page.close()
