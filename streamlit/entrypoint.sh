#!/usr/bin/env bash
# Serve the pages until told to stop.
component=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$component/../common/server.sh"

require MARKET_HOME MARKET_PYTHON
use_defaults STREAMLIT_PORT STREAMLIT_LISTEN

cd "$component" # .streamlit/config.toml holds what does not depend on the place
exec "$MARKET_PYTHON" -m streamlit run src/streamlit_pages/app.py \
    --server.address "$STREAMLIT_LISTEN" --server.port "$STREAMLIT_PORT"
