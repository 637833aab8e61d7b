from pathlib import Path

import pytest

from ops.errors import MarketError
from ops.install.secrets import LASTING, NAMES, ensure_secrets
from ops.lifecycle.rotation import rotate
from ops.settings import OpsSettings, read_env_file


def test_names_that_cannot_be_replaced_are_refused_and_change_nothing(tmp_path: Path) -> None:
    settings = OpsSettings(market_home=tmp_path)
    with pytest.raises(MarketError, match=r"There was no stack in .* yet: \./market up makes the passwords"):
        rotate(settings, (), print)
    ensure_secrets(tmp_path / "secrets.env")
    before = (tmp_path / "secrets.env").read_bytes()
    with pytest.raises(MarketError, match="SUPERSET_SECRET_KEY cannot be replaced: Superset has encrypted"):
        rotate(settings, ("KAFKA_COLLECTOR_PASSWORD", "SUPERSET_SECRET_KEY"), print)
    with pytest.raises(MarketError, match="There was no password 'KAFKA'; there are KAFKA_ADMIN_PASSWORD, "):
        rotate(settings, ("KAFKA",), print)
    assert (tmp_path / "secrets.env").read_bytes() == before


def test_without_a_stack_all_are_new_and_the_next_start_takes_them(tmp_path: Path) -> None:
    ensure_secrets(tmp_path / "secrets.env")
    old = read_env_file(tmp_path / "secrets.env")
    lines: list[str] = []
    rotate(OpsSettings(market_home=tmp_path), (), lines.append)
    new = read_env_file(tmp_path / "secrets.env")
    assert {name for name in NAMES if new[name] == old[name]} == set(LASTING)
    assert new["CASSANDRA_ADMIN_PASSWORD_BEFORE"] == old["CASSANDRA_ADMIN_PASSWORD"]
    assert lines == ["The passwords are new; ./market up starts the servers with them."]
