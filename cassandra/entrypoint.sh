#!/usr/bin/env bash
# Prepare a Cassandra node and become it.
component=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$component/../common/server.sh"

require MARKET_HOME MARKET_JARS MARKET_PYTHON
load_secrets CASSANDRA_ADMIN_PASSWORD
java=$(find_java)
jars=$MARKET_JARS/cassandra

use_defaults CASSANDRA_PORT CASSANDRA_STORAGE_PORT CASSANDRA_JMX_PORT CASSANDRA_LISTEN CASSANDRA_SEEDS
use_defaults CASSANDRA_METRICS_PORT METRICS_LISTEN
[[ -n $CASSANDRA_SEEDS ]] || CASSANDRA_SEEDS=$CASSANDRA_LISTEN:$CASSANDRA_STORAGE_PORT
data=$MARKET_HOME/data/cassandra
run=$MARKET_HOME/run/cassandra
mkdir -p "$data" "$run"
render "$component/cassandra.yaml" > "$run/cassandra.yaml"
echo "admin $CASSANDRA_ADMIN_PASSWORD" > "$run/jmx.password"
echo "admin readwrite" > "$run/jmx.access"

beside_server "$MARKET_PYTHON" -m cassandra_schema
cd "$run"
exec "$java" "@$component/jvm.args" "-javaagent:$jars/jamm-0.4.0.jar" \
    "$(metrics_agent cassandra "$CASSANDRA_METRICS_PORT")" -cp "$jars/*" \
    "-Dlogback.configurationFile=$component/logback.xml" \
    "-Dcassandra.config=file://$run/cassandra.yaml" "-Dcassandra.storagedir=$data" \
    "-Dcassandra.jmx.local.port=$CASSANDRA_JMX_PORT" -Dcom.sun.management.jmxremote.authenticate=true \
    "-Dcom.sun.management.jmxremote.password.file=$run/jmx.password" \
    "-Dcom.sun.management.jmxremote.access.file=$run/jmx.access" \
    org.apache.cassandra.service.CassandraDaemon
