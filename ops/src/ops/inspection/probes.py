"""Whether a service is ready: each probe logs in, makes a request, and returns why it failed, or None.

A service that answers and is not ready, as for what it depends on, says so itself. Where nothing answers the
reason is a `Silence`, and a service that was ready and stays silent hangs.
"""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException

from common.hangs import Silence
from common.heartbeat import MAX_AGE_SECONDS, read_heartbeat
from common.settings import ROOT
from ops.errors import MarketError
from ops.ports import load_ports
from ops.settings import OpsSettings

Probe = Callable[[OpsSettings, int], str | None]
LOCALHOST = "127.0.0.1"
SOURCE_ADDRESS = "127.0.0.2"
# A probe is repeated; one answer may take so long on a host that is busy starting nine services.
ANSWER_SECONDS = 5.0
MAX_REASON_BYTES = 1000
PRESTO_LIMITS = {"query_max_run_time": "30s"}  # without a worker Presto keeps a query queued
SCHEMA = ROOT / "cassandra" / "schema"


class SilentError(OSError):
    """Say that nothing answered at a URL."""


def is_open(host: str, port: int) -> bool:
    """Return whether something listens on a port.

    A local port is tried from another local address: from the same one, the connection may be given the very
    port that it is to reach, and connect to itself.
    """
    source = (SOURCE_ADDRESS, 0) if host == LOCALHOST else None
    try:
        with socket.create_connection((host, port), timeout=1, source_address=source):
            return True
    except OSError:
        return False


def kafka(settings: OpsSettings, pid: int) -> str | None:
    """Log in to Kafka and look for the topics."""
    if not is_open(settings.kafka_server, settings.kafka_port):
        return Silence(f"port {settings.kafka_port} was closed")
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import AdminClient

    from ops.clients import kafka_config

    errors: list[KafkaError] = []
    admin = AdminClient(kafka_config(settings) | {"error_cb": errors.append})
    try:
        topics = admin.list_topics(timeout=ANSWER_SECONDS).topics
    except KafkaException as error:
        # The request itself only says that there was no answer in time.
        admin.poll(0)
        if any(error.code() == KafkaError._AUTHENTICATION for error in errors):
            return "it refused the password"
        return Silence(f"the login failed: {error.args[0].str()}")
    expected = (settings.kafka_topic_name, settings.dead_letter_topic, settings.events_topic)
    missing = [topic for topic in expected if topic not in topics]
    return f"the topics {', '.join(missing)} were missing" if missing else None


def cassandra(settings: OpsSettings, pid: int) -> str | None:
    """Log in to Cassandra and look whether the schema is the newest."""
    if not is_open(settings.cassandra_host, settings.cassandra_port):
        return Silence(f"port {settings.cassandra_port} was closed")
    from common.cassandra import ERRORS, connect, is_transient

    try:
        session = connect(settings, "ops", settings.cassandra_ops_password)
    except ERRORS as error:
        reason = f"the login failed: {' '.join(str(error).split())[:200]}"
        return Silence(reason) if is_transient(error) else reason
    try:
        version = session.execute("SELECT max(version) AS version FROM schema_migrations").one().version
    except ERRORS as error:
        return f"the schema was not there yet: {error}"
    finally:
        session.cluster.shutdown()
    newest = max(int(path.name.partition("_")[0]) for path in SCHEMA.glob("*.cql"))
    return None if version == newest else f"the schema was at version {version} of {newest}"


def presto(settings: OpsSettings, pid: int) -> str | None:
    """Read the names of Cassandra's tables through Presto."""
    from ops.inspection.query import run_query

    if not is_open(settings.presto_host, settings.presto_port):
        return Silence(f"port {settings.presto_port} was closed")
    try:
        info = json.loads(fetch(f"http://{settings.presto_host}:{settings.presto_port}/v1/info"))
        if info["starting"]:
            return "it was still starting"
        tables = run_query(settings, "show tables from cassandra.market", PRESTO_LIMITS)
    except SilentError as error:
        return Silence(error)
    except (OSError, ValueError, KeyError, MarketError) as error:
        return str(error)
    return None if tables else "Cassandra's tables were not there"


def http_health(port: str, path: str) -> Probe:
    """Expect any good answer over HTTP at the port that a variable names."""

    def probe(settings: OpsSettings, pid: int) -> str | None:
        try:
            fetch(f"http://{LOCALHOST}:{load_ports().by_variable()[port]}{path}")
        except SilentError as error:
            return Silence(error)
        except OSError as error:
            return str(error)
        return None

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
            return Silence(f"{url} did not answer: {getattr(error, 'reason', error)}")
        return None

    return probe


def fetch_or_raise(url: str) -> str:
    """Return what a local URL answers; raise OSError or HTTPException."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=ANSWER_SECONDS) as answer:
        return str(answer.read().decode(errors="replace"))


def fetch(url: str) -> str:
    """Return what a URL answers; raise OSError with a sentence, SilentError where nothing answers."""
    try:
        return fetch_or_raise(url)
    except urllib.error.HTTPError as error:
        raise OSError(f"{url} did not answer: {error.reason}") from None
    except (OSError, HTTPException) as error:
        raise SilentError(f"{url} did not answer: {getattr(error, 'reason', error)}") from None


def heartbeat(service: str) -> Probe:
    """Expect a fresh heartbeat from the very process that is supervised."""

    def probe(settings: OpsSettings, pid: int) -> str | None:
        beat = read_heartbeat(settings.market_home, service)
        if beat is None or beat.get("pid") != pid:
            return Silence("it had written no heartbeat yet")
        age = time.time() - float(beat.get("at", 0))
        if age > MAX_AGE_SECONDS:
            return Silence(f"its last heartbeat was {age:.0f} s old")
        if beat.get("ready") is True:
            return None
        return "; ".join(beat.get("problems") or ()) or "it was not ready yet"

    return probe
