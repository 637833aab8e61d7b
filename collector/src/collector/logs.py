"""Logging that cannot tell the token."""

import logging

from pydantic import SecretStr


class _Redacting(logging.Formatter):
    """Blanks the secrets out of everything that is written, tracebacks included."""

    def __init__(self, secrets: list[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def start_logging(*secrets: SecretStr | None) -> None:
    """Log to stderr, without the secrets."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        _Redacting([value for secret in secrets if secret and (value := secret.get_secret_value())])
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for talkative in ("websocket", "librdkafka"):  # what they say is said by the collector, once
        logging.getLogger(talkative).setLevel(logging.CRITICAL)
