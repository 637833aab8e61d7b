"""The pages, one a module with TITLE, ICON, POSITION (1 is the first page) and `draw`.

An icon is an emoji: the browser would fetch the pictures of Material's icons from another host.
"""

import importlib
import pkgutil
from types import ModuleType


def find_pages() -> list[ModuleType]:
    """Return the modules of this folder in the order of their positions."""
    names = [f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)]
    return sorted(map(importlib.import_module, names), key=lambda module: int(module.POSITION))
