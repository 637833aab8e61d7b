#!/usr/bin/env bash
# Become Superset, which brings its own database and the dashboards up to date before it answers.
component=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$component/../common/server.sh"

require MARKET_HOME MARKET_SUPERSET_ENV
load_secrets SUPERSET_ADMIN_PASSWORD SUPERSET_VIEWER_PASSWORD SUPERSET_SECRET_KEY
gunicorn=$MARKET_SUPERSET_ENV/bin/gunicorn
[[ -x $gunicorn ]] || fail "Superset was not found in $MARKET_SUPERSET_ENV: install superset/requirements.lock.txt there."

use_defaults SUPERSET_PORT SUPERSET_LISTEN SUPERSET_HOME PRESTO_HOST PRESTO_PORT
[[ -n $SUPERSET_HOME ]] || SUPERSET_HOME=$MARKET_HOME/data/superset
export SUPERSET_ADMIN_PASSWORD SUPERSET_VIEWER_PASSWORD SUPERSET_SECRET_KEY SUPERSET_HOME SUPERSET_PORT SUPERSET_LISTEN
export PRESTO_HOST PRESTO_PORT SUPERSET_CONFIG_PATH=$component/superset_config.py PYTHONPATH=$component/src:$component/../common/src TZ=UTC SCARF_ANALYTICS=false
# Threads share two arenas, and freed memory goes back to the system.
export MALLOC_ARENA_MAX=2 MALLOC_TRIM_THRESHOLD_=131072

mkdir -p "$SUPERSET_HOME"
cd "$SUPERSET_HOME"
exec "$gunicorn" --config "$component/gunicorn.conf.py" 'superset_dashboards.server:application()'
