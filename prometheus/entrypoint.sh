#!/usr/bin/env bash
# Say whom Prometheus asks, and become it.
component=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$component/../common/server.sh"

require MARKET_HOME MARKET_PYTHON
use_defaults PROMETHEUS_PORT PROMETHEUS_RETENTION_MEGABYTES METRICS_LISTEN
data=$MARKET_HOME/data/prometheus
run=$MARKET_HOME/run/prometheus
mkdir -p "$data" "$run"
"$MARKET_PYTHON" -m ops.monitoring.prometheus > "$run/prometheus.yml"

cd "$run"
exec prometheus --config.file="$run/prometheus.yml" --storage.tsdb.path="$data" \
    --storage.tsdb.retention.size="${PROMETHEUS_RETENTION_MEGABYTES}MB" \
    --web.listen-address="$METRICS_LISTEN:$PROMETHEUS_PORT" --log.level=warn
