"""Bring Superset's own database to the state that the files describe: tables, roles, users, dashboards."""

import importlib.metadata
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from string import Template

import superset
from flask import Flask, g
from flask_appbuilder.security.sqla.models import User
from flask_migrate import upgrade
from superset import db, security_manager
from superset.commands.importers.v1.assets import ImportAssetsCommand
from superset.connectors.sqla.models import SqlaTable
from werkzeug.security import check_password_hash, generate_password_hash

from superset_dashboards import presto

ASSETS = Path(__file__).resolve().parents[2] / "assets"
ADMIN_ROLE = "Admin"
VIEWER_ROLE = "Market viewer"
# What looking at a dashboard takes: nothing here writes, opens SQL Lab, or reads other people's data.
VIEWER_PERMISSIONS = (
    ("can_read", "Dashboard"),
    ("can_read", "Chart"),
    ("can_read", "Dataset"),
    ("can_get_drill_info", "Dataset"),
    ("can_read", "CurrentUserRestApi"),
    ("can_read", "SecurityRestApi"),
    ("can_read", "Theme"),
    ("can_read", "DashboardPermalinkRestApi"),
    ("can_write", "DashboardPermalinkRestApi"),
    ("can_read", "DashboardFilterStateRestApi"),
    ("can_write", "DashboardFilterStateRestApi"),
    ("can_dashboard", "Superset"),
    ("can_dashboard_permalink", "Superset"),
    ("can_drill", "Dashboard"),
    ("can_view_chart_as_table", "Dashboard"),
    ("can_view_query", "Dashboard"),
    ("can_samples", "Datasource"),
    ("can_time_range", "Api"),
    ("can_list", "DashboardModelView"),
    ("can_csv", "Superset"),
    ("can_userinfo", "UserDBModelView"),
    ("menu_access", "Dashboards"),
)


def provision(app: Flask, home: Path) -> None:
    """Bring the database in `home` up to date; every start reads the dashboards from their files again."""
    with app.app_context():
        _upgrade(home / "provisioned-version")
        _keep_user("admin", ADMIN_ROLE, os.environ["SUPERSET_ADMIN_PASSWORD"])
        g.user = security_manager.find_user("admin")
        # An import lists Presto's schemas for permissions that nobody uses; Presto may still be starting.
        logging.getLogger("superset.commands").setLevel(logging.ERROR)
        with presto.away():
            ImportAssetsCommand(asset_files(os.environ)).run()
        _keep_viewer_role()
        _keep_user("viewer", VIEWER_ROLE, os.environ["SUPERSET_VIEWER_PASSWORD"])
        db.session.commit()


def asset_files(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the YAML files by relative path; Presto's address in the database's is from `variables`."""
    contents = {str(path.relative_to(ASSETS)): path.read_text() for path in sorted(ASSETS.rglob("*.yaml"))}
    return {
        name: Template(text).substitute(variables) if name.startswith("databases/") else text
        for name, text in contents.items()
    }


def _upgrade(marker: Path) -> None:
    version = importlib.metadata.version("apache-superset")
    if marker.exists() and marker.read_text() == version:
        return
    upgrade(directory=str(Path(superset.__file__).parent / "migrations"))
    # Superset's migrations silence every logger that existed before them.
    for logger in map(logging.getLogger, logging.root.manager.loggerDict):
        logger.disabled = False
    security_manager.appbuilder.add_permissions(update_perms=True)
    security_manager.sync_role_definitions()
    db.session.commit()
    marker.write_text(version)


def _keep_user(name: str, role: str, password: str) -> None:
    user: User | None = security_manager.find_user(name)
    if user is None:
        security_manager.add_user(
            name, name.title(), "Market", f"{name}@market.invalid", security_manager.find_role(role), password
        )
        return
    user.roles = [security_manager.find_role(role)]
    user.active = True
    if not check_password_hash(user.password, password):
        user.password = generate_password_hash(password)


def _keep_viewer_role() -> None:
    role = security_manager.add_role(VIEWER_ROLE)
    datasets = [("datasource_access", dataset.perm) for dataset in db.session.query(SqlaTable)]
    role.permissions = [
        security_manager.add_permission_view_menu(permission, view)
        for permission, view in [*VIEWER_PERMISSIONS, *datasets]
    ]
