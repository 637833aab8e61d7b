"""The viewer looks and changes nothing."""

import pytest

from superset_dashboards.permissions import VIEWER_PERMISSIONS

# What a browser keeps for its own view: the link to a filtered dashboard, and the filters themselves.
OWN_STATE = {"DashboardPermalinkRestApi", "DashboardFilterStateRestApi"}


def test_the_viewer_writes_only_the_state_of_its_own_view() -> None:
    written = {
        view for permission, view in VIEWER_PERMISSIONS if "read" not in permission and "write" in permission
    }
    assert written == OWN_STATE
    verbs = {permission for permission, _ in VIEWER_PERMISSIONS}
    assert not {
        verb for verb in verbs if any(word in verb for word in ("add", "edit", "delete", "import", "export"))
    }


@pytest.mark.parametrize(
    "view", ["SQLLab", "SQL Lab", "Database", "User", "Role", "Query", "Log", "ImportExportRestApi"]
)
def test_the_viewer_has_nothing_to_do_with(view: str) -> None:
    assert view not in {name for _, name in VIEWER_PERMISSIONS}


@pytest.mark.parametrize("view", ["Dashboard", "Chart", "Dataset"])
def test_the_viewer_reads(view: str) -> None:
    assert ("can_read", view) in VIEWER_PERMISSIONS
