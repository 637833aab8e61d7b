"""Print the configuration of the stack's own Prometheus: whom it asks, by which rules, and whom it tells."""

import sys
from typing import Any

import yaml

from common.settings import SettingsError
from ops.lifecycle.services import SERVICES
from ops.monitoring.rules import FOLDER
from ops.ports import load_ports
from ops.settings import WatchSettings

EVERY = "15s"


def configuration(settings: WatchSettings) -> dict[str, Any]:
    """Return the configuration; each figure gets the label `service`, unless it has one."""
    ports = load_ports().by_variable()

    def address(service: str, port: str) -> str:
        return f"{settings.watch_hosts.format(service=service)}:{ports[port]}"

    return {
        "global": {"scrape_interval": EVERY, "evaluation_interval": EVERY},
        "rule_files": [str(FOLDER / "*.rules.yml")],
        "alerting": {
            "alertmanagers": [
                {"static_configs": [{"targets": [address("alertmanager", "ALERTMANAGER_PORT")]}]}
            ]
        },
        "scrape_configs": [
            {
                "job_name": "market",
                "honor_labels": True,
                "static_configs": [
                    {"targets": [address(service.name, service.metrics)], "labels": {"service": service.name}}
                    for service in SERVICES
                    if service.metrics
                ],
            }
        ],
    }


if __name__ == "__main__":
    try:
        yaml.safe_dump(configuration(WatchSettings.load()), sys.stdout, sort_keys=False)
    except SettingsError as error:
        sys.exit(str(error))
