"""Run the `market` command."""

import signal
import sys

from ops.cli import main

TERMINATED = 128 + signal.SIGTERM

# A command that is told to end takes back what it had begun, as a backup's snapshot.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
sys.exit(main())
