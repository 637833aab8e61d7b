from pathlib import Path

from ops.install.secrets import LENGTH, NAMES, SEEN, ensure_secrets, forget, replace, service_file, share
from ops.settings import read_env_file


def test_secrets_are_private_complete_and_safe_for_shells_and_urls(tmp_path: Path) -> None:
    path = tmp_path / "home" / "secrets.env"
    ensure_secrets(path)
    values = read_env_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(values) == set(NAMES)
    assert all(len(value) == LENGTH and value.isalnum() and value.isascii() for value in values.values())
    assert len(set(values.values())) == len(NAMES)


def test_each_service_has_a_file_with_what_it_may_see(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    ensure_secrets(path)
    values = read_env_file(path)
    share(path, tmp_path / "shared")
    for service, names in SEEN.items():
        file = service_file(tmp_path / "shared", service)
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700
        assert read_env_file(file) == {name: values[name] for name in names}
    assert SEEN["feed"] == ()


def test_new_values_keep_the_old_ones_that_servers_need_until_they_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    ensure_secrets(path)
    old = read_env_file(path)
    names = ("KAFKA_ADMIN_PASSWORD", "KAFKA_COLLECTOR_PASSWORD")
    replace(path, names)
    new = read_env_file(path)
    assert {name for name in old if new[name] != old[name]} == set(names)
    assert set(new) - set(old) == {"KAFKA_ADMIN_PASSWORD_BEFORE"}
    assert new["KAFKA_ADMIN_PASSWORD_BEFORE"] == old["KAFKA_ADMIN_PASSWORD"]
    assert all(len(new[name]) == LENGTH for name in names)
    share(path, tmp_path / "shared")
    holders = {
        service
        for service in SEEN
        if "KAFKA_ADMIN_PASSWORD_BEFORE" in read_env_file(service_file(tmp_path / "shared", service))
    }
    assert holders == {"kafka"}
    # A server that was not told yet, or was, knows one of two values, whatever follows.
    replace(path, names)
    again = read_env_file(path)
    assert {name for name in new if again[name] != new[name]} == {"KAFKA_COLLECTOR_PASSWORD"}
    forget(path)
    assert set(read_env_file(path)) == set(old)
    assert path.stat().st_mode & 0o777 == 0o600


def test_secrets_that_are_there_stay_and_missing_ones_are_added(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    path.write_text(f"{NAMES[0]}=mine\nOTHER=kept\n")
    path.chmod(0o644)
    ensure_secrets(path)
    values = read_env_file(path)
    assert (values[NAMES[0]], values["OTHER"]) == ("mine", "kept")
    assert set(NAMES) <= set(values)
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    ensure_secrets(path)
    assert path.read_bytes() == before
