#!/usr/bin/env bash
# Prepare Presto (coordinator and worker in one) and become it.
component=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$component/../common/server.sh"

require MARKET_HOME MARKET_JARS
load_secrets CASSANDRA_PRESTO_PASSWORD PRESTO_SHARED_SECRET
java=$(find_java)
jars=$MARKET_JARS/presto

use_defaults PRESTO_PORT PRESTO_LISTEN CASSANDRA_HOST CASSANDRA_PORT
PRESTO_PLUGINS=$jars/plugin
run=$MARKET_HOME/run/presto
mkdir -p "$run/etc/catalog"
render "$component/config.properties" > "$run/etc/config.properties"
render "$component/cassandra.properties" > "$run/etc/catalog/cassandra.properties"
cp "$component/access-control.properties" "$component/log.properties" "$run/etc/"

cd "$run"
# Whatever Presto writes beside its data, such as what does not fit its memory, stays in the home.
exec "$java" "@$component/jvm.args" "-Djava.io.tmpdir=${TMPDIR:-/tmp}" -cp "$jars/lib/*" -Dconfig=etc/config.properties -Dlog.levels-file=etc/log.properties \
    com.facebook.presto.server.PrestoServer
