"""A store in memory for the pages."""

from collections.abc import Iterator

import pytest
import streamlit as st

from page_example import ExampleStore
from streamlit_pages import cached_queries


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExampleStore]:
    """Return a store that the pages read; forget its rows at the end."""
    example = ExampleStore()
    monkeypatch.setattr(cached_queries, "_store", lambda: example)
    st.cache_data.clear()
    yield example
    st.cache_data.clear()
