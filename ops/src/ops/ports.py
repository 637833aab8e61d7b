"""The ports that the stack listens on: every setting of that kind, whichever component declares it."""

import importlib
from copy import copy
from functools import cache
from typing import Any

from pydantic import create_model
from pydantic.fields import FieldInfo

from common.settings import ROOT, ListeningPort, Settings


class PortSettings(Settings):
    """The base of the class that has a field for each port."""

    def by_variable(self) -> dict[str, int]:
        """Return every port by the name of its variable."""
        return {
            name.upper(): getattr(self, name) for name in type(self).model_fields if name != "market_home"
        }

    def movable(self) -> dict[str, int]:
        """Return, by variable, the ports that nobody asked for and that may be any free ones."""
        return {
            name.upper(): getattr(self, name)
            for name, field in type(self).model_fields.items()
            if name not in self.model_fields_set and ListeningPort(movable=True) in field.metadata
        }


def settings_classes() -> list[type[Settings]]:
    """Return the settings classes of every component that is here; an image holds only some of them."""
    modules = [
        importlib.import_module(f"{file.parent.name}.settings") for file in ROOT.glob("*/src/*/settings.py")
    ]
    return [
        found
        for module in sorted(modules, key=lambda module: module.__name__)
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, Settings) and found.__module__ == module.__name__
    ]


def is_port(field: FieldInfo) -> bool:
    """Return whether a setting is a port that something of the stack listens on."""
    return any(isinstance(mark, ListeningPort) for mark in field.metadata)


@cache
def port_settings_class() -> type[PortSettings]:
    """Return a settings class with the ports of all components."""
    fields: dict[str, Any] = {
        name: (field.annotation, copy(field))
        for settings in settings_classes()
        for name, field in settings.model_fields.items()
        if is_port(field)
    }
    return create_model("AllPorts", __base__=PortSettings, **fields)


def load_ports() -> PortSettings:
    """Read every port from the environment and `.env`; raise SettingsError about one that cannot be used."""
    return port_settings_class().load()
