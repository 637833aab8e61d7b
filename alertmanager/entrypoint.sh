#!/usr/bin/env bash
# Become Alertmanager, with the configuration of the home or the one here.
component=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$component/../common/server.sh"

require MARKET_HOME
use_defaults ALERTMANAGER_PORT METRICS_LISTEN
data=$MARKET_HOME/data/alertmanager
mkdir -p "$data"
config=$MARKET_HOME/alertmanager.yml
[[ -f $config ]] || config=$component/alertmanager.yml

cd "$data"
exec prometheus-alertmanager --config.file="$config" --storage.path="$data" \
    --web.listen-address="$METRICS_LISTEN:$ALERTMANAGER_PORT" --cluster.listen-address= --log.level=warn
