"""A container's health check: 0 when the named service is ready, else 1 and why not."""

import sys

from common.hangs import end_hanging_container
from common.heartbeat import read_heartbeat
from common.settings import SettingsError
from ops.lifecycle.services import ALL_SERVICES
from ops.settings import OpsSettings


def main(name: str) -> int:
    """Probe the service that runs beside this process, and end it where it hangs; return the exit status."""
    service = next(service for service in ALL_SERVICES if service.name == name)
    try:
        settings = OpsSettings.load()
        # Only this container writes here, and its heartbeats end with it.
        heartbeat = read_heartbeat(settings.market_home, name) or {}
        reason = service.probe(settings, int(heartbeat.get("pid", 0)))
        end_hanging_container(reason, service.hang_seconds * settings.market_healing, service.ready_seconds)
    except SettingsError as error:
        reason = str(error)
    print(reason or "ready")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
