"""New passwords while trades come: nothing is lost, and the old ones are refused."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from cassandra.cluster import NoHostAvailable
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from collector.journal import journal_ids
from common.cassandra import connect
from common.kafka import client_config
from common.settings import CassandraSettings, KafkaSettings
from ops.install.secrets import LASTING, NAMES
from stack import ROOT, Stack, wait_until
from superset_api import SupersetApi
from topics import journaled, stored

DEMO = ROOT / "tests" / "data" / "demo.jsonl.gz"

pytestmark = pytest.mark.timeout(900)


def takes(stack: Stack, passwords: dict[str, str], name: str) -> bool:
    """Tell whether Kafka or Cassandra takes a password of one of its users."""
    server, user = name.removesuffix("_PASSWORD").lower().split("_", 1)
    if server == "kafka":
        kafka = KafkaSettings(kafka_port=int(stack.settings["KAFKA_PORT"]))
        login = client_config(kafka, user.replace("_", "-"), SecretStr(passwords[name]))
        try:
            AdminClient(login | {"log_level": 0}).list_topics(timeout=10)
        except KafkaException:
            return False
        return True
    cassandra = CassandraSettings(cassandra_port=int(stack.settings["CASSANDRA_PORT"]))
    try:
        connect(cassandra, user, SecretStr(passwords[name]), keyspace=None).cluster.shutdown()
    except NoHostAvailable:
        return False
    return True


def test_every_password_is_replaced_while_trades_come(stack: Stack) -> None:
    old, known = stack.secrets(), set(journal_ids(stack.home / "journal"))
    logins = [name for name in NAMES if name.startswith(("KAFKA_", "CASSANDRA_"))]
    assert [name for name in logins if not takes(stack, old, name)] == []
    received = stack.received()
    with ThreadPoolExecutor(1) as pool:
        replaying = pool.submit(stack.market, "replay", str(DEMO), "--speed", "4", check=False)
        wait_until(lambda: stack.received() > received + 200, "some trades", 60)
        said = stack.market("secrets", "rotate").stdout
        replaying.result(timeout=300)
    assert f"{len(NAMES) - len(LASTING)} passwords are new." in said
    new = stack.secrets()
    assert set(new) == set(old)
    assert {name for name in NAMES if new[name] == old[name]} == set(LASTING)
    # Cassandra looks at a password that it has taken before for some seconds more.
    wait_until(lambda: all(takes(stack, new, name) for name in logins), "every new password taken", 60)
    wait_until(lambda: not any(takes(stack, old, name) for name in logins), "every old password refused", 60)
    SupersetApi(stack.settings["SUPERSET_PORT"], "admin", new["SUPERSET_ADMIN_PASSWORD"]).dashboards()
    for journal in set(journal_ids(stack.home / "journal")) - known:
        trades = journaled(stack.home / "journal", journal).total()
        wait_until(
            lambda journal=journal, trades=trades: stored(stack, journal) >= trades,  # type: ignore[misc]
            f"the trades of {journal} in Cassandra",
            180,
        )
        assert stored(stack, journal) == trades
    figures = stack.replay(DEMO)
    assert figures["stored"] == figures["trades"] > 0
