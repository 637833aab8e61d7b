#!/usr/bin/env bash
# Prepare Kafka (one node, KRaft) and become it.
component=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$component/../common/server.sh"

require MARKET_HOME MARKET_JARS MARKET_PYTHON
load_secrets KAFKA_ADMIN_PASSWORD KAFKA_COLLECTOR_PASSWORD KAFKA_STREAM_PROCESSOR_PASSWORD KAFKA_STREAMLIT_PASSWORD KAFKA_OPS_PASSWORD
java=$(find_java)
jars=$MARKET_JARS/kafka/*

use_defaults KAFKA_PORT KAFKA_CONTROLLER_PORT KAFKA_LISTEN KAFKA_ADVERTISED_HOST KAFKA_METRICS_PORT METRICS_LISTEN
KAFKA_DATA=$MARKET_HOME/data/kafka
run=$MARKET_HOME/run/kafka
mkdir -p "$KAFKA_DATA" "$run"
render "$component/server.properties" > "$run/server.properties"

# The storage is whole once meta.properties, written last, is there. Arguments in a file stay out of the process list.
if [[ ! -f $KAFKA_DATA/meta.properties ]]; then
    cluster=A$(head -c 15 /dev/urandom | base64 | tr '+/' '-_' | cut -c 1-20)A
    printf '%s\n' format --cluster-id "$cluster" --config "$run/server.properties" \
        --add-scram "SCRAM-SHA-512=[name=admin,password=$KAFKA_ADMIN_PASSWORD]" > "$run/format.args"
    "$java" -XX:TieredStopAtLevel=1 -cp "$jars" "-Dlog4j2.configurationFile=$component/log4j2.yaml" \
        kafka.tools.StorageTool "@$run/format.args" || fail "Kafka's storage in $KAFKA_DATA could not be formatted (see above)."
    rm "$run/format.args"
fi

beside_server "$MARKET_PYTHON" -m kafka_topics
cd "$run"
exec "$java" "@$component/jvm.args" "$(metrics_agent kafka "$KAFKA_METRICS_PORT")" -cp "$jars" \
    "-Dlog4j2.configurationFile=$component/log4j2.yaml" kafka.Kafka "$run/server.properties"
