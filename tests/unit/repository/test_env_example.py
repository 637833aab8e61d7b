"""`.env.example` names every setting with its default, and nothing else."""

import re
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_core import PydanticUndefined

from common.settings import ROOT, Settings
from ops.install.secrets import BEFORE
from ops.install.secrets import NAMES as GENERATED
from ops.ports import settings_classes
from ops.settings import read_env_file

LINE = re.compile(r"^#?([A-Z][A-Z0-9_]*)=(.*)$")
DEFAULTED = re.compile(r"\$\{([A-Z_]+):[-=]([^}]*)\}")
USED_BY_A_SCRIPT = re.compile(r"^use_defaults (.+)$", re.MULTILINE)
USUAL = {"XDG_CACHE_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR"}  # not of this project
SET_BY_MARKET = {"MARKET_JARS", "MARKET_PYTHON", "MARKET_SUPERSET_ENV", "JAVA_HOME"}
COMPOSE = ROOT / "docker-compose.yml"
SCRIPTS = (*ROOT.glob("*/entrypoint.sh"), ROOT / "common" / "server.sh", ROOT / "market")


def listed() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return {found[1]: found[2] for line in lines if (found := LINE.match(line))}


def fields() -> dict[str, Any]:
    return {
        name.upper(): field.default
        for settings in settings_classes()
        for name, field in settings.model_fields.items()
        if name.upper().removesuffix(BEFORE) not in SET_BY_MARKET.union(GENERATED)
    }


def script_settings() -> set[str]:
    return {
        name
        for path in SCRIPTS
        for names in USED_BY_A_SCRIPT.findall(path.read_text())
        for name in names.split()
    }


def written_defaults() -> dict[str, str]:
    """Return what stands after `:-` for settings of the scripts and of compose itself."""
    found = {
        name: value for path in (*SCRIPTS, COMPOSE) for name, value in DEFAULTED.findall(path.read_text())
    }
    return {name: value for name, value in found.items() if name not in USUAL}


def passed_by_compose() -> set[str]:
    services = yaml.safe_load(COMPOSE.read_text())["services"].values()
    return {
        name
        for service in services
        for name, value in service.get("environment", {}).items()
        if value is None
    }


def written(default: Any) -> str:
    if default is None or default is PydanticUndefined:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ",".join(default)
    return str(default.value if isinstance(default, Enum) else default)


@pytest.mark.parametrize("path", sorted(ROOT.glob("*/src/*/settings.py")), ids=lambda path: path.parent.name)
def test_every_module_of_settings_has_a_class_that_is_found(path: Path) -> None:
    found = {settings.__module__ for settings in settings_classes()}
    assert f"{path.parent.name}.settings" in found


def test_it_lists_every_setting_and_no_other() -> None:
    named = set(fields()) | script_settings() | set(written_defaults()) | passed_by_compose()
    assert set(listed()) == named


def test_it_shows_the_defaults() -> None:
    shown = listed()
    assert {name: shown[name] for name in fields()} == {
        name: written(value) for name, value in fields().items()
    }


def test_what_the_scripts_and_compose_use_themselves_has_the_same_default() -> None:
    shown = listed()
    differing = {
        name: (value, shown[name])
        for name, value in written_defaults().items()
        if value and "$" not in value and "~" not in value and value != shown[name]
    }
    assert differing == {}


@pytest.mark.parametrize("path", sorted(ROOT.glob("[a-z]*/README.md")), ids=lambda path: path.parent.name)
def test_a_readme_repeats_no_default(path: Path) -> None:
    text = re.sub(r"[`,]", "", path.read_text())
    assert not re.search(r"^\|.*\| default \|", text, re.MULTILINE)
    repeated = [
        name
        for name, value in listed().items()
        if value and re.search(rf"{name} \({re.escape(value)}(?!\w)", text)
    ]
    assert repeated == []


def test_nothing_in_it_is_set_until_a_user_does() -> None:
    assert read_env_file(ROOT / ".env.example") == {}


@pytest.mark.parametrize("name", GENERATED)
def test_passwords_are_not_settings_of_a_user(name: str) -> None:
    assert name not in listed()


def test_settings_classes_are_found_in_every_component() -> None:
    assert all(issubclass(settings, Settings) for settings in settings_classes())
