#!/usr/bin/env bash
# Serve the pages until told to stop. Settings: MARKET_HOME, MARKET_PYTHON, STREAMLIT_PORT, STREAMLIT_LISTEN.
set -euo pipefail

component=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${MARKET_HOME:?MARKET_HOME was not set: it names the folder that holds all state.}"
: "${MARKET_PYTHON:?MARKET_PYTHON was not set: it names the Python that has the packages of the lock.}"
export MARKET_HOME

cd "$component" # .streamlit/config.toml holds what does not depend on the place
exec "$MARKET_PYTHON" -m streamlit run src/streamlit_pages/app.py \
    --server.address "${STREAMLIT_LISTEN:-127.0.0.1}" --server.port "${STREAMLIT_PORT:-8501}"
