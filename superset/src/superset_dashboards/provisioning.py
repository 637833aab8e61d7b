"""Bring Superset's own database up to date with the files: tables, roles, users, dashboards."""

import importlib.metadata
import logging
import os
from pathlib import Path

import superset
from flask import Flask, g
from flask_appbuilder.security.sqla.models import User
from flask_migrate import upgrade
from superset import db, security_manager
from superset.commands.importers.v1.assets import ImportAssetsCommand
from superset.connectors.sqla.models import SqlaTable
from werkzeug.security import check_password_hash, generate_password_hash

from superset_dashboards import presto
from superset_dashboards.assets import asset_files
from superset_dashboards.permissions import VIEWER_PERMISSIONS, VIEWER_ROLE

ADMIN_ROLE = "Admin"


def provision(app: Flask, home: Path) -> None:
    """Bring the database in `home` up to date; every start reads the dashboards from their files again."""
    with app.app_context():
        _upgrade(home / "provisioned-version")
        _ensure_user("admin", ADMIN_ROLE, os.environ["SUPERSET_ADMIN_PASSWORD"])
        g.user = security_manager.find_user("admin")
        # An import lists Presto's schemas for permissions that nobody uses; Presto may still be starting.
        logging.getLogger("superset.commands").setLevel(logging.ERROR)
        with presto.skip_connections():
            ImportAssetsCommand(asset_files(os.environ)).run()
        _ensure_viewer_role()
        _ensure_user("viewer", VIEWER_ROLE, os.environ["SUPERSET_VIEWER_PASSWORD"])
        db.session.commit()


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


def _ensure_user(name: str, role: str, password: str) -> None:
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


def _ensure_viewer_role() -> None:
    role = security_manager.add_role(VIEWER_ROLE)
    datasets = [("datasource_access", dataset.perm) for dataset in db.session.query(SqlaTable)]
    role.permissions = [
        security_manager.add_permission_view_menu(permission, view)
        for permission, view in [*VIEWER_PERMISSIONS, *datasets]
    ]
