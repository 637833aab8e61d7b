"""Which sources the static checks see."""

from common.settings import ROOT
from ops.testing.static import import_contracts, packages, source_folders


def test_every_component_is_checked() -> None:
    assert {"collector", "common", "ops", "stream_processor"} <= set(packages())
    assert {folder.parent.name for folder in source_folders()} >= {"collector", "stream-processor"}


def test_no_source_folder_hides_a_librarys_name() -> None:
    assert not list(ROOT.glob("*/__init__.py"))


def test_components_are_independent_and_common_imports_none() -> None:
    text = import_contracts(["collector", "common", "ops"])
    _, components, shared = text.split("[importlinter:contract:")
    assert "modules = \n    collector\n" in components
    assert "source_modules = common\nforbidden_modules = \n    collector\n    ops" in shared
