"""How long the certificate of an address lasts."""

import socket
import ssl
from urllib.parse import urlsplit

ANSWER_SECONDS = 5.0
HTTPS = 443


def days_left(url: str, now: float) -> float | None:
    """Return for how many days browsers take an address, 0 where they do not; None where nothing answers."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        with (
            socket.create_connection((host, parts.port or HTTPS), timeout=ANSWER_SECONDS) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secure,
        ):
            certificate = secure.getpeercert()
    except ssl.SSLCertVerificationError:
        return 0.0
    except OSError:
        return None
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"])) if certificate else now
    return max(ends - now, 0.0) / 86_400
