"""`docker-compose.yml` and the Dockerfiles beside the table of services and the settings classes."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from common.settings import ROOT, LocalOnly, Settings
from ops.install.secrets import ADMINS, BEFORE, SEEN
from ops.install.secrets import NAMES as GENERATED
from ops.lifecycle.services import ALL_SERVICES, SERVICES, Service
from ops.ports import settings_classes
from ops.settings import SECRETS_OF_USERS, read_env_file

IMAGE = "market/"
SERVED_BY_COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
RUNTIME = read_env_file(ROOT / "ops" / "container" / "runtime.env")
USED_BY_A_SCRIPT = re.compile(r"^use_defaults (.+)$", re.MULTILINE)
PASSWORDS_OF_A_SCRIPT = re.compile(r"^load_secrets (.+)$", re.MULTILINE)
DOCKERFILES = sorted(ROOT.glob("*/Dockerfile"))
COMPONENTS = sorted(path.parent.name for path in DOCKERFILES)


def component_classes(component: str) -> list[type[Settings]]:
    packages = {path.parent.name for path in (ROOT / component).glob("src/*/settings.py")}
    return [found for found in settings_classes() if found.__module__.partition(".")[0] in packages]


def script_names(component: str, pattern: re.Pattern[str]) -> set[str]:
    script = ROOT / component / "entrypoint.sh"
    lines = pattern.findall(script.read_text()) if script.exists() else []
    return {name for line in lines for name in line.split()}


def is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or annotation == SecretStr | None


def local_only() -> set[str]:
    return {
        name.upper()
        for settings in settings_classes()
        for name, field in settings.model_fields.items()
        if any(isinstance(mark, LocalOnly) for mark in field.metadata)
    }


def needed(component: str) -> set[str]:
    """Return what a component's container has to be given; its passwords come by a file."""
    fields = {
        name.upper()
        for settings in component_classes(component)
        for name, field in settings.model_fields.items()
        if not is_secret(field.annotation)
    }
    return (fields | script_names(component, USED_BY_A_SCRIPT)) - local_only()


def given(component: str) -> set[str]:
    """Return what compose gives to the containers that run what the component's image starts by itself."""
    return set(RUNTIME).union(
        *(
            service.get("environment", {})
            for name, service in SERVED_BY_COMPOSE.items()
            if service["image"] == f"{IMAGE}{component}" and name != "secrets" and "entrypoint" not in service
        )
    )


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_setting_reaches_its_container_or_is_marked_as_local_only(component: str) -> None:
    assert needed(component) - given(component) == set()


def test_settings_were_compared() -> None:
    assert {"GBM_PATHS", "GBM_DRIVER_MEMORY_MB", "CASSANDRA_HOST"} <= needed("gbm-analysis")
    assert {"SPARK_MASTER_HOST", "SPARK_WORKER_CORES"} <= needed("spark")
    assert {"KAFKA_RETENTION_HOURS", "KAFKA_ADVERTISED_HOST"} <= needed("kafka")
    assert "KAFKA_PORT" not in needed("kafka")


@pytest.mark.parametrize("name", SERVED_BY_COMPOSE)
def test_compose_repeats_no_default_to_a_container(name: str) -> None:
    environment = SERVED_BY_COMPOSE[name].get("environment", {})
    repeated = {key: value for key, value in environment.items() if re.search(r":-[^$]", str(value or ""))}
    assert repeated == {}


@pytest.mark.parametrize("secret", SECRETS_OF_USERS)
def test_one_service_only_is_given_a_users_secret(secret: str) -> None:
    assert [
        name for name, service in SERVED_BY_COMPOSE.items() if secret in service.get("environment", {})
    ] == [SECRETS_OF_USERS[secret]]


def test_published_ports_lead_to_the_default_ports_of_the_containers() -> None:
    ports = [port for service in SERVED_BY_COMPOSE.values() for port in service.get("ports", ())]
    parts = [re.fullmatch(r"127\.0\.0\.1:\$\{(\w+):-(\d+)\}:(\d+)", port) for port in ports]
    assert ports
    assert all(part is not None and part[2] == part[3] for part in parts)


@pytest.mark.parametrize("service", ALL_SERVICES, ids=lambda service: service.name)
def test_a_service_has_the_same_name_order_and_time_to_stop_in_a_container(service: Service) -> None:
    container = SERVED_BY_COMPOSE[service.name]
    assert (ROOT / service.name / "Dockerfile").exists()
    assert container["image"] == f"{IMAGE}{service.name}"
    assert set(service.depends_on) <= set(container["depends_on"])
    assert container["stop_grace_period"] == f"{service.stop_seconds}s"


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_container_hangs_after_the_same_time_as_the_local_service(service: Service) -> None:
    test = SERVED_BY_COMPOSE[service.name]["healthcheck"]["test"]
    if "common.web_health" in test:
        assert test[-2:] == [str(service.hang_seconds), "${MARKET_HEALING:-1.0}"]
    else:
        assert test == ["CMD", "python", "-m", "ops.inspection.health", service.name]
        assert "MARKET_HEALING" in SERVED_BY_COMPOSE[service.name]["environment"]


def passwords_of(component: str) -> set[str]:
    """Return the passwords that a component's settings and script ask for."""
    fields = {
        name.upper()
        for settings in component_classes(component)
        for name, field in settings.model_fields.items()
        if is_secret(field.annotation)
    }
    asked = (fields | script_names(component, PASSWORDS_OF_A_SCRIPT)) - set(SECRETS_OF_USERS)
    return {name for name in asked if not name.endswith(BEFORE)}


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_service_sees_the_passwords_that_it_asks_for(component: str) -> None:
    assert passwords_of(component) <= set(SEEN[component])


def test_a_service_reads_no_passwords_of_others_for_nothing() -> None:
    unasked = {name for service in SERVICES for name in set(service.reads) - passwords_of(service.name)}
    # The code in `ops` asks for these: for a replay in the collector's container, and for the watch.
    assert unasked == {"KAFKA_OPS_PASSWORD", "CASSANDRA_OPS_PASSWORD"}


@pytest.mark.parametrize("name", sorted(SERVED_BY_COMPOSE))
def test_a_container_is_given_the_passwords_of_its_service(name: str) -> None:
    mounts = [mount for mount in SERVED_BY_COMPOSE[name]["volumes"] if "secrets" in str(mount)]
    component = SERVED_BY_COMPOSE[name]["image"].removeprefix(IMAGE)
    expected = {"type": "volume", "source": "secrets", "target": "/secrets", "read_only": True}
    expected["volume"] = {"subpath": component}
    assert mounts == (["secrets:/secrets"] if name == "secrets" else [expected])


def test_images_carry_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    builds = [service["build"] for service in SERVED_BY_COMPOSE.values() if "build" in service]
    assert len(builds) == len(DOCKERFILES)
    assert {build["labels"]["org.opencontainers.image.version"] for build in builds} == {version}


def test_the_generated_passwords_are_those_that_anything_asks_for() -> None:
    fields = {
        name.upper()
        for settings in settings_classes()
        for name, field in settings.model_fields.items()
        if is_secret(field.annotation)
    }
    scripts = set().union(*(script_names(component, PASSWORDS_OF_A_SCRIPT) for component in COMPONENTS))
    # A server takes a new one by the one before.
    others = {*SECRETS_OF_USERS, *(f"{name}{BEFORE}" for name in ADMINS)}
    assert set(GENERATED) == (fields | scripts) - others
    assert len(GENERATED) == len(set(GENERATED))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_images_share_the_layers_of_their_first_stages(path: Path) -> None:
    """The engine takes a layer from its cache when everything up to it is the same text."""
    stages = path.read_text().split("\n\n")
    assert stages[:2] == DOCKERFILES[0].read_text().split("\n\n")[:2]


def test_all_containers_together_fit_a_machine_of_eight_gigabytes() -> None:
    limits = [SERVED_BY_COMPOSE[service.name]["mem_limit"] for service in SERVICES]
    assert sum(int(limit.removesuffix("m")) for limit in limits) * 1024**2 <= 6.5e9
