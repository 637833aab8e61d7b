"""The pages are found in their folder."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from common.settings import ROOT
from streamlit_pages import pages

APP = ROOT / "streamlit" / "src" / "streamlit_pages" / "app.py"
NEW_PAGE = """
import streamlit as st

TITLE, ICON, POSITION = "New", "🆕", {position}


def draw() -> None:
    st.title("A new page")
"""


@pytest.mark.parametrize(("position", "titles"), [(0, ["New", "Forecast"]), (99, ["Forecast", "New"])])
def test_a_new_file_is_a_new_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, position: int, titles: list[str]
) -> None:
    name = f"page_at_{position}"
    (tmp_path / f"{name}.py").write_text(NEW_PAGE.format(position=position))
    monkeypatch.setattr(pages, "__path__", [*pages.__path__, str(tmp_path)])
    found = [page.TITLE for page in pages.find_pages()]
    assert [title for title in found if title in titles] == titles


def test_the_first_page_is_shown_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page_in_front.py").write_text(NEW_PAGE.format(position=0))
    monkeypatch.setattr(pages, "__path__", [*pages.__path__, str(tmp_path)])
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not app.exception
    assert [title.value for title in app.title] == ["A new page"]


def test_every_page_has_a_position_of_its_own() -> None:
    found = pages.find_pages()
    assert found
    assert len({page.POSITION for page in found}) == len(found)
    assert all(page.TITLE and page.ICON and callable(page.draw) for page in found)
