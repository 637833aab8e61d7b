"""The service `watch`: asks all services, judges by the rules, and sends word of alerts."""

import signal
import sys
import threading

from common.logs import start_logging
from common.metrics import MetricsError
from common.settings import SettingsError
from ops.monitoring.notification import UrlError
from ops.monitoring.watch import Watch
from ops.settings import WatchSettings


def main() -> int:
    """Watch until told to stop; return the exit status."""
    start_logging()
    try:
        settings = WatchSettings.load()
        start_logging(settings.market_alerts, settings.cassandra_ops_password)
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        with Watch(settings) as watch:
            watch.run(stopping)
    except (SettingsError, MetricsError, UrlError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
