# shellcheck shell=bash
# What the entrypoints share; sourced, never run.

set -euo pipefail
umask 077
PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
    echo "$1" >&2
    exit 1
}

# Fail unless every named variable has a value.
require() {
    local name
    for name; do
        [[ -n ${!name:-} ]] || fail "The setting $name was missing."
    done
}

# Give each named setting that is unset or empty its default, which .env.example shows.
use_defaults() {
    local name line
    for name; do
        [[ -z ${!name:-} ]] || continue
        line=$(grep -m 1 "^#$name=" "$PROJECT/.env.example") ||
            fail "The setting $name had no line in $PROJECT/.env.example."
        printf -v "$name" %s "${line#*=}"
    done
}

# Read the passwords without exporting them, then fail unless the named ones are there.
load_secrets() {
    MARKET_SECRETS=${MARKET_SECRETS:-$MARKET_HOME/secrets.env}
    [[ -r $MARKET_SECRETS ]] || fail "The file of passwords, $MARKET_SECRETS, was missing or not readable."
    # shellcheck disable=SC1090
    source "$MARKET_SECRETS"
    local name
    for name; do
        [[ ${!name:-} =~ ^[A-Za-z0-9]+$ ]] ||
            fail "The password $name in $MARKET_SECRETS was missing or held something else than letters and digits."
    done
}

# Print a template with every ${NAME} replaced by the value of that variable.
render() {
    local text name
    text=$(<"$1")
    while [[ $text =~ \$\{([A-Z_]+)\} ]]; do
        name=${BASH_REMATCH[1]}
        require "$name"
        text=${text//"\${$name}"/"${!name}"}
    done
    printf '%s\n' "$text"
}

# Name the java to run: that of JAVA_HOME, else the one on the path.
find_java() {
    local java=${JAVA_HOME:+$JAVA_HOME/bin/}java
    command -v "$java" || fail "Java was not found at $java: install Java 17 or set JAVA_HOME."
}

# Print the JVM's option for the agent that serves a component's metrics at a port, as its metrics.yaml says.
metrics_agent() {
    local agent=("$MARKET_JARS/$1"/jmx_prometheus_javaagent-*.jar)
    echo "-javaagent:${agent[0]}=$METRICS_LISTEN:$2:$PROJECT/$1/metrics.yaml"
}

# Run a command beside the server this script becomes; when it fails, stop the server.
beside_server() {
    local server=$$
    ( ("$@" || kill -TERM "$server") & )
}
