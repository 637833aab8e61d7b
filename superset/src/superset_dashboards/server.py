"""The WSGI application: Superset, provisioned before it answers.

One process does both, because loading Superset is most of the cost of either.
"""

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, current_app, json, redirect, request
from flask import Response as JsonResponse
from jinja2 import TemplateError
from superset.app import create_app
from werkzeug.wrappers import Response

from superset_dashboards.colors import DASHBOARDS, with_colors

FIRST_PAGE = "/superset/dashboard/market/"
HEALTH = "/health"


def application() -> Flask:
    """Return Superset with its database, users and dashboards up to date."""
    app: Flask = create_app()
    # Superset's models can only be imported once there is an application.
    from superset_dashboards.provisioning import provision

    provision(app, Path(os.environ["SUPERSET_HOME"]))
    app.before_request(_answer_before_superset)
    app.after_request(_color_known_symbols)
    return app


def _answer_before_superset() -> Response | None:
    """Refuse other names of the host than the public one, where there is one.

    Redirect from Superset's empty home page to the dashboard, and discard the events that pages report:
    they are stored nowhere, and to refuse them would renew the session of a user who is just logging in.
    """
    public = current_app.config["PUBLIC_URL"]
    if public and request.path != HEALTH and request.host != urlsplit(public).netloc:
        return Response(f"This is {public}, and nothing else.\n", status=421, content_type="text/plain")
    if request.path in ("/", "/superset/welcome/"):
        return redirect(FIRST_PAGE)
    if request.path == "/superset/log/":
        return Response(status=204)
    return None


def _color_known_symbols(answer: JsonResponse) -> JsonResponse:
    """Give tickers that came after the import their colors, unless Presto is away."""
    if request.path.startswith(DASHBOARDS) and answer.status_code == 200 and answer.is_json:
        with suppress(TemplateError):
            answer.set_data(json.dumps(with_colors(answer.json, current_app.config["KNOWN_SYMBOLS"])))
    return answer
