"""The application, as `streamlit run` runs it: one page for each module of `pages/`."""

import streamlit as st

from streamlit_pages.pages import find_pages


def main() -> None:
    """Show the page that the address names, the first one by default."""
    st.set_page_config(layout="wide")
    pages = [
        st.Page(page.draw, title=page.TITLE, icon=page.ICON, url_path=page.__name__.rpartition(".")[2])
        for page in find_pages()
    ]
    st.navigation(pages, position="top").run()


main()
