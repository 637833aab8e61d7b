"""The health check of a container that holds nothing of the project but a web server.

`web_health.py URL PATTERN HANG_SECONDS FACTOR` expects an answer that a regular expression is found in, and
ends a server that hangs, as `common.hangs` says.
"""

import re
import sys
import urllib.request
from http.client import HTTPException
from urllib.error import HTTPError

from common.hangs import START_SECONDS, Silence, end_hanging_container

ANSWER_SECONDS = 9


def ask(url: str, pattern: str) -> str | None:
    """Return why the server is not ready, or None."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=ANSWER_SECONDS) as answer:
            text = answer.read().decode(errors="replace")
    except HTTPError as error:
        return f"{url} answered {error.code} {error.reason}"
    except (OSError, HTTPException) as error:
        return Silence(f"{url} did not answer: {getattr(error, 'reason', error)}")
    return None if re.search(pattern, text) else f"{url} did not answer {pattern}"


def main(url: str, pattern: str, hang_seconds: float, factor: float) -> int:
    """Ask once; return the exit status."""
    reason = ask(url, pattern)
    end_hanging_container(reason, hang_seconds * factor, START_SECONDS)
    print(reason or "ready")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
