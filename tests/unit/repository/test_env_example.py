"""`.env.example` names every setting, and nothing else."""

import importlib
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

from common.settings import ROOT, Settings
from ops.install.secrets import NAMES as GENERATED
from ops.settings import read_env_file

LINE = re.compile(r"^#?([A-Z][A-Z0-9_]*)=(.*)$")
DEFAULTED = re.compile(r"\$\{([A-Z_]+):[-=]([^}]*)\}")
USUAL = {"XDG_CACHE_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"}  # not of this project
SET_BY_MARKET = {"MARKET_JARS", "MARKET_PYTHON", "MARKET_SUPERSET_ENV", "JAVA_HOME"}
COMPOSE = ROOT / "docker-compose.yml"


def listed() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return {found[1]: found[2] for line in lines if (found := LINE.match(line))}


def descendants(base: type[Settings]) -> Iterator[type[Settings]]:
    for child in base.__subclasses__():
        yield child
        yield from descendants(child)


def settings_classes() -> set[type[Settings]]:
    for file in sorted(ROOT.glob("*/src/*/settings.py")):
        importlib.import_module(f"{file.parent.name}.settings")
    return set(descendants(Settings))


def fields() -> dict[str, Any]:
    return {
        name.upper(): field.default
        for settings in settings_classes()
        for name, field in settings.model_fields.items()
        if name.upper() not in SET_BY_MARKET.union(GENERATED)
    }


def entrypoint_variables() -> dict[str, str]:
    scripts = [*ROOT.glob("*/entrypoint.sh"), ROOT / "common" / "server.sh", ROOT / "market", COMPOSE]
    found = {name: value for script in scripts for name, value in DEFAULTED.findall(script.read_text())}
    return {name: value for name, value in found.items() if name not in USUAL}


def written(default: Any) -> str:
    if default is None or default is PydanticUndefined:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ",".join(default)
    return str(default.value if isinstance(default, Enum) else default)


def test_every_settings_class_of_every_room_was_found() -> None:
    components = {settings.__module__.partition(".")[0] for settings in settings_classes()}
    assert {"collector", "feed", "gbm_analysis", "ops", "stream_processor", "streamlit_pages"} <= components


def test_it_lists_every_setting_and_no_other() -> None:
    assert set(listed()) == set(fields()) | set(entrypoint_variables())


def test_it_shows_the_defaults() -> None:
    shown = listed()
    assert {name: shown[name] for name in fields()} == {
        name: written(value) for name, value in fields().items()
    }


def test_entrypoints_have_the_same_defaults() -> None:
    shown = listed()
    differing = {
        name: (value, shown[name])
        for name, value in entrypoint_variables().items()
        if value and "$" not in value and "~" not in value and value != shown[name]
    }
    assert differing == {}


def test_nothing_in_it_is_set_until_a_user_does() -> None:
    assert read_env_file(ROOT / ".env.example") == {}


@pytest.mark.parametrize("name", GENERATED)
def test_passwords_are_not_settings_of_a_user(name: str) -> None:
    assert name not in listed()
