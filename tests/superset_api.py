"""A user of Superset's API."""

from typing import Any

import requests

SECONDS = 60


class SupersetApi:
    """A session of a user; of nobody without a password."""

    def __init__(self, port: str, user: str = "", password: str = "") -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.session = requests.Session()
        # Gunicorn ends idle connections; a request that is sent on one at that moment gets no answer.
        self.session.headers["Connection"] = "close"
        if password:
            login = {"username": user, "password": password, "provider": "db"}
            answer = self.ask("POST", "/api/v1/security/login", json=login)
            self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            token = self.ask("GET", "/api/v1/security/csrf_token/").json()["result"]
            self.session.headers.update({"X-CSRFToken": token, "Referer": self.address})

    def ask(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Send a request, and follow no redirection."""
        return self.session.request(
            method, self.address + path, timeout=SECONDS, allow_redirects=False, **arguments
        )

    def add_dashboard(self, title: str) -> None:
        """Make an empty dashboard."""
        answer = self.ask("POST", "/api/v1/dashboard/", json={"dashboard_title": title})
        assert answer.status_code == 201, answer.text

    def dashboards(self) -> set[str]:
        """Return the titles of all dashboards that this user sees."""
        found = self.ask("GET", "/api/v1/dashboard/?q=(page_size:100)").json()["result"]
        return {dashboard["dashboard_title"] for dashboard in found}
