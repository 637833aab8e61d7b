#!/usr/bin/env bash
# Become a master or a worker of a Spark cluster: entrypoint.sh master|worker
component=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$component/../common/server.sh"

require MARKET_HOME MARKET_PYTHON
load_secrets SPARK_SECRET_KEY
java=$(find_java)
use_defaults SPARK_MASTER_HOST SPARK_WORKER_CORES SPARK_WORKER_MEMORY
SPARK_HOME=$("$MARKET_PYTHON" -c 'import pyspark; print(pyspark.__path__[0])')
core=("$SPARK_HOME"/jars/spark-core_*.jar)
SPARK_SCALA_VERSION=$(sed 's/.*spark-core_\([0-9.]*\)-.*/\1/' <<<"${core[0]}")
SPARK_CONF_DIR=$MARKET_HOME/run/spark
export SPARK_HOME SPARK_SCALA_VERSION SPARK_CONF_DIR SPARK_WORKER_CORES SPARK_WORKER_MEMORY
mkdir -p "$SPARK_CONF_DIR" "$MARKET_HOME/data/spark"
cp "$component/log4j2.properties" "$SPARK_CONF_DIR"
SPARK_RECOVERY=$MARKET_HOME/data/spark
render "$component/spark-defaults.conf" > "$SPARK_CONF_DIR/spark-defaults.conf"

run() {
    exec "$java" -Xmx256m -XX:+UseSerialGC -Duser.timezone=UTC -cp "$SPARK_CONF_DIR:$SPARK_HOME/jars/*" "$@"
}
case ${1:-} in
    master) run org.apache.spark.deploy.master.Master --host "$SPARK_MASTER_HOST" --port 7077 --webui-port 8080 ;;
    worker) run org.apache.spark.deploy.worker.Worker --webui-port 8081 --work-dir /tmp/spark "spark://$SPARK_MASTER_HOST:7077" ;;
    *) fail "The role ${1:-} was neither master nor worker." ;;
esac
