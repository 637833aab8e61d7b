"""Whether a service is ready: each probe logs in, asks, and says why not, or returns None."""

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException

from common.heartbeat import MAX_AGE_SECONDS, read_heartbeat
from common.settings import ROOT
from ops.ports import load_ports
from ops.settings import OpsSettings

Probe = Callable[[OpsSettings, int], str | None]
LOCALHOST = "127.0.0.1"
ASKER = "127.0.0.2"
ANSWER_SECONDS = 5.0
MAX_REASON_BYTES = 1000
SCHEMA = ROOT / "cassandra" / "schema"


def is_open(host: str, port: int) -> bool:
    """Tell whether something listens on a port.

    This machine is asked from an address of its own: from the same one, a try may be given the very port it
    looks for.
    """
    source = (ASKER, 0) if host == LOCALHOST else None
    try:
        with socket.create_connection((host, port), timeout=1, source_address=source):
            return True
    except OSError:
        return False


def kafka(settings: OpsSettings, pid: int) -> str | None:
    """Log in to Kafka and look for the topics."""
    if not is_open(settings.kafka_server, settings.kafka_port):
        return f"port {settings.kafka_port} was closed"
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    from common.kafka import client_config

    config = client_config(settings, "admin", settings.kafka_admin_password)
    try:
        found = AdminClient({**config, "log_level": 0}).list_topics(timeout=ANSWER_SECONDS).topics
    except KafkaException as error:
        return f"the login failed: {error.args[0].str()}"
    expected = (settings.kafka_topic_name, settings.dead_letter_topic, settings.events_topic)
    missing = [topic for topic in expected if topic not in found]
    return f"the topics {', '.join(missing)} were missing" if missing else None


def cassandra(settings: OpsSettings, pid: int) -> str | None:
    """Log in to Cassandra and look whether the schema is the newest."""
    if not is_open(settings.cassandra_host, settings.cassandra_port):
        return f"port {settings.cassandra_port} was closed"
    from cassandra import DriverException
    from cassandra.cluster import NoHostAvailable

    from common.cassandra import connect

    try:
        session = connect(settings, "ops", settings.cassandra_ops_password)
    except (NoHostAvailable, DriverException) as error:
        return f"the login failed: {' '.join(str(error).split())[:200]}"
    try:
        version = session.execute("SELECT max(version) AS version FROM schema_migrations").one().version
    except DriverException as error:
        return f"the schema was not there yet: {error}"
    finally:
        session.cluster.shutdown()
    newest = max(int(path.name.partition("_")[0]) for path in SCHEMA.glob("*.cql"))
    return None if version == newest else f"the schema was at version {version} of {newest}"


def presto(settings: OpsSettings, pid: int) -> str | None:
    """Ask Presto for Cassandra's tables."""
    from ops.inspection.query import run_query

    if not is_open(settings.presto_host, settings.presto_port):
        return f"port {settings.presto_port} was closed"
    info = fetch(f"http://{settings.presto_host}:{settings.presto_port}/v1/info")
    if '"starting":false' not in info:
        return f"it was still starting: {info[:100]}"
    try:
        tables = run_query(settings, "show tables from cassandra.market")
    except Exception as error:
        return str(error)
    return None if tables else "Cassandra's tables were not there"


def http(port: str, path: str) -> Probe:
    """Expect any good answer over HTTP at the port that a variable names."""

    def probe(settings: OpsSettings, pid: int) -> str | None:
        answer = fetch(f"http://{LOCALHOST}:{load_ports().by_variable()[port]}{path}")
        return answer.removeprefix("!") if answer.startswith("!") else None

    return probe


def health(port: str) -> Probe:
    """Expect `ok` from a service of the project at the port that a variable names, or its own reason."""

    def probe(settings: OpsSettings, pid: int) -> str | None:
        url = f"http://{LOCALHOST}:{load_ports().by_variable()[port]}/health"
        try:
            fetch_or_raise(url)
        except urllib.error.HTTPError as error:
            return error.read(MAX_REASON_BYTES).decode(errors="replace")
        except (OSError, HTTPException) as error:
            return f"{url} did not answer: {getattr(error, 'reason', error)}"
        return None

    return probe


def fetch_or_raise(url: str) -> str:
    """Return what a local URL answers; raise OSError or HTTPException."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=ANSWER_SECONDS) as answer:
        return str(answer.read().decode(errors="replace"))


def fetch(url: str) -> str:
    """Return what a local URL answers, or `!` and why it did not."""
    try:
        return fetch_or_raise(url)
    except (OSError, HTTPException) as error:
        return f"!{url} did not answer: {getattr(error, 'reason', error)}"


def heartbeat(service: str) -> Probe:
    """Expect a fresh sign of life from the very process that is supervised."""

    def probe(settings: OpsSettings, pid: int) -> str | None:
        found = read_heartbeat(settings.market_home, service)
        if found is None or found.get("pid") != pid:
            return "it had given no sign of life yet"
        age = time.time() - float(found.get("at", 0))
        if age > MAX_AGE_SECONDS:
            return f"its last sign of life was {age:.0f} s old"
        if found.get("ready") is True:
            return None
        return "; ".join(found.get("problems") or ()) or "it was not ready yet"

    return probe
