"""Superset's settings; what is not here is Superset's default."""

import copy
import logging
import os
from datetime import timedelta
from typing import Any

from superset import config as defaults
from superset.utils.log import AbstractEventLogger

from superset_dashboards.partitions import functions
from superset_dashboards.presto import KnownSymbols, connect_engine

HOME = os.environ["SUPERSET_HOME"]
# Where browsers find it, if not here: at a proxy that speaks TLS.
PUBLIC_URL = os.environ.get("SUPERSET_PUBLIC_URL", "").rstrip("/")

# What it keeps
SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = f"sqlite:///{HOME}/superset.db?check_same_thread=false"


def _files(name: str, seconds: float) -> dict[str, Any]:
    return {
        "CACHE_TYPE": "FileSystemCache",
        "CACHE_DIR": f"{HOME}/cache/{name}",
        "CACHE_DEFAULT_TIMEOUT": int(seconds),
        "CACHE_THRESHOLD": 500,
    }


_DAY = timedelta(days=1).total_seconds()
CACHE_CONFIG = _files("metadata", 60)
# Shorter than any refresh: many open pages cost Presto as much as one.
DATA_CACHE_CONFIG = _files("data", 4)
FILTER_STATE_CACHE_CONFIG = _files("filters", 30 * _DAY)
EXPLORE_FORM_DATA_CACHE_CONFIG = _files("explore", 7 * _DAY)


class NoEventLog(AbstractEventLogger):
    """Keep no record of clicks and refreshes: Superset's own table of them is never emptied."""

    def log(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""


EVENT_LOGGER = NoEventLog()
LOG_LEVEL = "WARNING"
# The first warns at every page of a picture that the package lacks; the second logs fifty lines for a failed
# query, whose error the chart shows in one.
for _noisy in ("superset.views.base", "superset.models.helpers"):
    logging.getLogger(_noisy).setLevel(logging.ERROR)

# Who may look at it
AUTH_ROLE_PUBLIC = "Public"
PUBLIC_ROLE_LIKE = None
GUEST_TOKEN_JWT_SECRET = SECRET_KEY
ENABLE_CORS = False
WTF_CSRF_ENABLED = True
RATELIMIT_ENABLED = True
RATELIMIT_STORAGE_URI = "memory://"
RATELIMIT_APPLICATION = "200 per second"
# The cookies of 127.0.0.1 are shared by all its ports.
SESSION_COOKIE_NAME = f"superset-{os.environ['SUPERSET_PORT']}"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Strict"
SESSION_COOKIE_SECURE = bool(PUBLIC_URL)
# One proxy, which says by its headers who asks, and for what.
ENABLE_PROXY_FIX = bool(PUBLIC_URL)
PROXY_FIX_CONFIG = {"x_for": 1, "x_proto": 1, "x_host": 1, "x_port": 0, "x_prefix": 0}
PERMANENT_SESSION_LIFETIME = timedelta(days=1)
SHOW_STACKTRACE = False
TALISMAN_ENABLED = True
TALISMAN_CONFIG = copy.deepcopy(defaults.TALISMAN_CONFIG)
# It would set its own.
TALISMAN_CONFIG |= {
    "session_cookie_secure": SESSION_COOKIE_SECURE,
    "session_cookie_samesite": SESSION_COOKIE_SAMESITE,
}
# Nothing on a page comes from elsewhere. The provenance card is a template that Handlebars compiles.
TALISMAN_CONFIG["content_security_policy"] |= {
    "img-src": ["'self'", "blob:", "data:"],
    "connect-src": ["'self'"],
    "style-src": ["'self'", "'unsafe-inline'"],
    "font-src": ["'self'"],
    "script-src": ["'self'", "'strict-dynamic'", "'unsafe-eval'"],
}
HTML_SANITIZATION_SCHEMA_EXTENSIONS = {"attributes": {"*": ["className"]}}

# How it asks Presto
FEATURE_FLAGS = {"ENABLE_TEMPLATE_PROCESSING": True}
DB_CONNECTION_MUTATOR = connect_engine
KNOWN_SYMBOLS = KnownSymbols(os.environ["PRESTO_HOST"], int(os.environ["PRESTO_PORT"]))
JINJA_CONTEXT_ADDONS = functions(KNOWN_SYMBOLS)
SQLLAB_TIMEOUT = 60

# How it looks
APP_NAME = "Trading Data Dashboard"
LOGO_TARGET_PATH = "/superset/dashboard/market/"
DEFAULT_RELATIVE_START_TIME = "now"
DEFAULT_RELATIVE_END_TIME = "now"
DASHBOARD_AUTO_REFRESH_MODE = "fetch"
DASHBOARD_AUTO_REFRESH_INTERVALS = [
    [0, "Don't refresh"],
    [5, "5 seconds"],
    [10, "10 seconds"],
    [30, "30 seconds"],
    [60, "1 minute"],
    [300, "5 minutes"],
]
